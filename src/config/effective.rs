//! `pineconectl config show`: what a configuration sets, and what it comes to.
//!
//! The effective configuration is that of `config.example.toml`, which has every key with its default (a test holds it against the program),
//! with what a file sets laid over it. So no key can be forgotten here. Logins in URIs are masked, as everywhere.

use toml::{Table, Value};

use super::{Config, ConfigError, PeerUri, ProxyUri};

/// Every key with its default.
const DEFAULTS: &str = include_str!("../../config.example.toml");

/// What the file `text` sets, without secrets.
///
/// # Errors
/// What [`Config::parse`] says of it.
pub fn set(text: &str, file: &str) -> Result<Table, ConfigError> {
    Config::parse(text, file)?;
    let mut table: Table = text.parse().map_err(|error| ConfigError::syntax(file, text, &error))?;
    mask(&mut table);
    Ok(table)
}

/// All keys, as the file `text` leaves them, without secrets.
///
/// # Errors
/// What [`Config::parse`] says of it.
pub fn effective(text: &str, file: &str) -> Result<Table, ConfigError> {
    let set = set(text, file)?;
    let mut table: Table =
        DEFAULTS.parse().map_err(|error| ConfigError::syntax("config.example.toml", DEFAULTS, &error))?;
    overlay(&mut table, set);
    Ok(table)
}

/// Tables are laid over tables; everything else replaces what was there.
fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn mask(table: &mut Table) {
    for (_, value) in table.iter_mut() {
        mask_value(value);
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::Table(table) => mask(table),
        Value::Array(values) => values.iter_mut().for_each(mask_value),
        Value::String(text) => {
            if let Ok(uri) = text.parse::<PeerUri>() {
                *text = uri.to_string();
            } else if let Ok(proxy) = text.parse::<ProxyUri>() {
                *text = proxy.to_string();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_sets_is_laid_over_the_defaults_and_means_the_same() {
        let text = "tun.mtu = 1280\n[peering]\npeers = ['tcp://192.0.2.1:7463?max_backoff=30s']\nallowed_keys = { lan = [] }\n\
                    [firewall]\ninbound = [{ from = 'any', protocol = 'tcp', port = 22 }]\n";
        let shown = toml::to_string(&effective(text, "test").unwrap()).unwrap();
        assert_eq!(Config::parse(&shown, "shown").unwrap(), Config::parse(text, "test").unwrap());
        let shown = toml::to_string(&effective("", "test").unwrap()).unwrap();
        assert_eq!(Config::parse(&shown, "shown").unwrap(), Config::default());
        assert_eq!(set(text, "test").unwrap()["tun"].as_table().unwrap().len(), 1);
        assert!(effective("tun.mtu = 1", "test").is_err());
    }

    #[test]
    fn logins_are_masked() {
        let text = "[peering]\nproxy = 'socks5://joshua:hunter2@127.0.0.1:9050'\n\
                    peers = ['tcp://192.0.2.1:7463?proxy=http://joshua:hunter2@192.0.2.2:3128']\n";
        for table in [set(text, "test").unwrap(), effective(text, "test").unwrap()] {
            let shown = toml::to_string(&table).unwrap();
            assert!(!shown.contains("hunter2") && shown.contains("192.0.2.2"), "{shown}");
        }
    }
}
