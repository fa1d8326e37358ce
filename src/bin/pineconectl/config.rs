//! `pineconectl config show`: reads the configuration as the daemon would; needs no daemon.

use std::path::{Path, PathBuf};

use pinecone::config::{DEFAULT_FILE, effective};
use pinecone::shell::config_file;
use serde_json::json;

use crate::args::{ConfigCommand, ConfigShow};
use crate::error::{CommandError, Kind};
use crate::output;

/// Does it and prints.
pub(crate) fn run(command: &ConfigCommand, json: bool) -> Result<(), CommandError> {
    let ConfigCommand::Show(ConfigShow { file, effective: all }) = command;
    let (text, source) = config_file::text(file.as_deref()).map_err(|error| failed(file.as_deref(), &error))?;
    let name = source.to_string();
    let table = if *all { effective::effective(&text, &name) } else { effective::set(&text, &name) };
    let table = table.map_err(|error| CommandError::new(Kind::Failure, error.to_string()))?;
    if json {
        return output::json(&json!({ "source": name, "effective": all, "config": table }));
    }
    let toml = toml::to_string(&table).map_err(|error| CommandError::new(Kind::Failure, error.to_string()))?;
    let what = if *all { "all keys, from" } else { "what is set in" };
    let nothing =
        if toml.is_empty() { "# nothing; `pineconectl config show --effective` shows the defaults\n" } else { "" };
    output::text(&format!("# {what} {name}\n{toml}{nothing}"))
}

fn failed(file: Option<&Path>, error: &config_file::ConfigFileError) -> CommandError {
    let denied = matches!(error, config_file::ConfigFileError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied);
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    if denied {
        return CommandError::new(Kind::Permission, format!("you may not read {}; use sudo", path.display()));
    }
    CommandError::new(Kind::Failure, error.to_string())
}
