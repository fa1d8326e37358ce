//! Finds and reads the configuration file.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, DEFAULT_FILE};

/// Longest file that is read, in bytes: ten thousand peers fit.
const MAX_LEN: u64 = 1024 * 1024;

/// Where a configuration came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// Nowhere: no file was named, and there is none at [`DEFAULT_FILE`].
    Defaults,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Defaults => write!(f, "the defaults (there is no {DEFAULT_FILE})"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// What it says is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than any configuration.
    #[error("{0} has more than 1 MiB: this is no configuration")]
    TooLong(PathBuf),
}

/// Reads the named file, or else the one at [`DEFAULT_FILE`] if there is one.
///
/// # Errors
/// A named file is not there, or a file cannot be read or is wrong.
pub fn load(named: Option<&Path>) -> Result<(Config, Source), ConfigFileError> {
    match named {
        Some(path) => Ok((read(path)?, Source::File(path.to_owned()))),
        None => load_or_default(Path::new(DEFAULT_FILE)),
    }
}

fn load_or_default(path: &Path) -> Result<(Config, Source), ConfigFileError> {
    match read(path) {
        Ok(config) => Ok((config, Source::File(path.to_owned()))),
        Err(ConfigFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok((Config::default(), Source::Defaults))
        }
        Err(error) => Err(error),
    }
}

/// The text of the named file, or else of the one at [`DEFAULT_FILE`]; nothing if there is none.
///
/// # Errors
/// A named file is not there, or a file cannot be read.
pub fn text(named: Option<&Path>) -> Result<(String, Source), ConfigFileError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match read_text(path) {
        Ok(text) => Ok((text, Source::File(path.to_owned()))),
        Err(ConfigFileError::Io { source, .. }) if named.is_none() && source.kind() == io::ErrorKind::NotFound => {
            Ok((String::new(), Source::Defaults))
        }
        Err(error) => Err(error),
    }
}

fn read(path: &Path) -> Result<Config, ConfigFileError> {
    Ok(Config::parse(&read_text(path)?, &path.display().to_string())?)
}

fn read_text(path: &Path) -> Result<String, ConfigFileError> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text));
    match read {
        Err(source) => Err(ConfigFileError::Io { path: path.to_owned(), source }),
        Ok(len) if len as u64 > MAX_LEN => Err(ConfigFileError::TooLong(path.to_owned())),
        Ok(_) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_the_defaults_unless_it_was_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("pineconed.toml");
        let (config, source) = load_or_default(&missing).unwrap();
        assert_eq!((config, source), (Config::default(), Source::Defaults));
        let error = load(Some(&missing)).unwrap_err().to_string();
        assert!(error.contains(missing.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_file_that_is_there_counts_and_is_named_in_its_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pineconed.toml");
        fs::write(&path, "tun.mtu = 1280").unwrap();
        let (config, source) = load_or_default(&path).unwrap();
        assert_eq!((config.tun.mtu, source), (1280, Source::File(path.clone())));
        fs::write(&path, "tun.mtu = 12").unwrap();
        let error = load(Some(&path)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}:1:11: tun.mtu: ", path.display())), "{error}");
        assert!(load_or_default(&path).is_err(), "a wrong file is not passed over");
    }

    #[test]
    fn a_file_that_cannot_be_a_configuration_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(load(Some(directory.path())), Err(ConfigFileError::Io { .. })));
        let path = directory.path().join("long");
        fs::write(&path, "#".repeat(MAX_LEN as usize + 1)).unwrap();
        assert!(matches!(load(Some(&path)), Err(ConfigFileError::TooLong(_))));
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(load(Some(&path)), Err(ConfigFileError::Io { .. })));
    }
}
