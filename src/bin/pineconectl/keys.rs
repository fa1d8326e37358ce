//! `pineconectl key …`: key files, without a daemon.

use std::path::Path;

use pinecone::addr::{Address, Subnet};
use pinecone::keys::{Keypair, PublicKey};
use pinecone::shell::key_file::{self, KeyFileError};
use serde_json::json;

use crate::args::KeyCommand;
use crate::error::{CommandError, Kind};
use crate::output;

/// Does it and prints.
pub(crate) fn run(command: &KeyCommand, json: bool) -> Result<(), CommandError> {
    match command {
        KeyCommand::Generate { file: None } => generate_to_stdout(json),
        KeyCommand::Generate { file: Some(file) } => generate(file, json),
        KeyCommand::Show { file } => show(&load(file)?, json),
        KeyCommand::Address { file } => {
            let address = Address::of(&load(file)?).to_string();
            if json { output::json(&json!({ "address": address })) } else { output::text(&(address + "\n")) }
        }
    }
}

/// The only way to see a private key: to ask for one that no node has yet.
fn generate_to_stdout(json: bool) -> Result<(), CommandError> {
    let seed = key_file::new_seed().map_err(|error| CommandError::new(Kind::Failure, error.to_string()))?;
    let text = key_file::to_text(&seed);
    if !json {
        return output::text(&text);
    }
    let mut document = describe(&Keypair::from_seed(&seed).public());
    document["private_key"] = json!(text.trim_end());
    output::json(&document)
}

fn generate(file: &Path, json: bool) -> Result<(), CommandError> {
    let seed = key_file::new_seed().map_err(|error| CommandError::new(Kind::Failure, error.to_string()))?;
    key_file::create(file, &seed).map_err(key_error)?;
    show(&Keypair::from_seed(&seed).public(), json)
}

fn load(file: &Path) -> Result<PublicKey, CommandError> {
    key_file::load_public(file).map_err(key_error)
}

fn show(key: &PublicKey, json: bool) -> Result<(), CommandError> {
    if json {
        return output::json(&describe(key));
    }
    output::text(&output::pairs(&[
        ("public key", key.to_string()),
        ("address", Address::of(key).to_string()),
        ("subnet", Subnet::of(key).to_string()),
    ]))
}

fn describe(key: &PublicKey) -> serde_json::Value {
    json!({
        "public_key": key,
        "address": Address::of(key).to_string(),
        "subnet": Subnet::of(key).to_string(),
    })
}

fn key_error(error: KeyFileError) -> CommandError {
    if error.is_permission() {
        return CommandError::new(Kind::Permission, format!("{error}; use sudo"));
    }
    CommandError::new(Kind::Failure, error.to_string())
}
