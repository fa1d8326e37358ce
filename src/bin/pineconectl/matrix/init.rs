//! `pineconectl matrix init`: a directory with server name, certificate and settings for a homeserver on this node.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pinecone::addr::Address;
use pinecone::config::DEFAULT_KEY_FILE;
use pinecone::control::{Answer, Request};
use pinecone::dns::name::name_of;
use pinecone::keys::PublicKey;
use pinecone::shell::key_file;
use serde_json::json;

use super::args::{InitOptions, NameKind, NameOptions, Server};
use super::files::{self, Site};
use crate::args::Arguments;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::output;

/// What others may read.
const OPEN: u32 = 0o644;
/// What they may not.
const SECRET: u32 = 0o600;

/// A file to write.
struct Draft {
    name: &'static str,
    text: String,
    mode: u32,
}

/// Writes the directory and says what is in it.
pub(crate) fn run(arguments: &Arguments, options: &InitOptions) -> Result<(), CommandError> {
    let names = Names::of(arguments, &options.name)?;
    let directory = std::path::absolute(&options.dir).map_err(|error| cannot("use", &options.dir, &error))?;
    let Names { server_name, by_address, by_key, .. } = &names;
    let site = Site { server_name, names: [by_address, by_key], directory: &directory, port: options.name.port };
    let mut servers = options.server.clone();
    if servers.is_empty() {
        servers = vec![Server::Synapse, Server::Dendrite, Server::Nginx, Server::Caddy];
    }
    servers.sort_unstable();
    servers.dedup();
    let drafts = drafts(&site, &servers, names.subjects.clone())?;
    write_all(&directory, &drafts, options.force)?;
    if arguments.json {
        let files: Vec<PathBuf> = drafts.iter().map(|draft| directory.join(draft.name)).collect();
        return output::json(&json!({
            "directory": directory,
            "server_name": server_name,
            "server_names": { "address": by_address, "key": by_key },
            "files": files,
        }));
    }
    output::text(&files::readme(&site, &servers))
}

/// Prints the server name.
pub(crate) fn name(arguments: &Arguments, options: &NameOptions) -> Result<(), CommandError> {
    let Names { server_name, by_address, by_key, .. } = Names::of(arguments, options)?;
    if arguments.json {
        let names = json!({ "address": by_address, "key": by_key });
        return output::json(&json!({ "server_name": server_name, "server_names": names }));
    }
    output::text(&(server_name + "\n"))
}

/// What a homeserver on this node may be called.
struct Names {
    /// The one that was chosen.
    server_name: String,
    by_address: String,
    by_key: String,
    /// What a certificate has to be for.
    subjects: Vec<String>,
}

impl Names {
    fn of(arguments: &Arguments, options: &NameOptions) -> Result<Self, CommandError> {
        let key = node_key(arguments, options)?;
        let (address, host, port) = (Address::of(&key).to_string(), name_of(&key), options.port);
        let (by_address, by_key) = (format!("[{address}]:{port}"), format!("{host}:{port}"));
        let server_name = if options.kind == NameKind::Address { by_address.clone() } else { by_key.clone() };
        Ok(Self { server_name, by_address, by_key, subjects: vec![address, host] })
    }
}

/// Whose homeserver it is: the named key file's node, the running daemon's, or that of the key in its usual place.
fn node_key(arguments: &Arguments, options: &NameOptions) -> Result<PublicKey, CommandError> {
    let load = |file: &Path| {
        key_file::load_public(file).map_err(|error| {
            let kind = if error.is_permission() { Kind::Permission } else { Kind::Failure };
            CommandError::new(kind, error.to_string())
        })
    };
    if let Some(file) = &options.key_file {
        return load(file);
    }
    match Client::connect(&arguments.socket, arguments.timeout).and_then(|mut client| client.ask(&Request::Status)) {
        Ok(Answer::Status(status)) => Ok(status.public_key),
        Ok(_) => Err(CommandError::new(Kind::Failure, "the daemon answered something else than its status")),
        Err(error) if error.kind == Kind::NotRunning => load(Path::new(DEFAULT_KEY_FILE)).map_err(|file| {
            let message =
                format!("{}; and its key file: {}; or name one with --key-file", error.message(), file.message());
            CommandError::new(Kind::NotRunning, message)
        }),
        Err(error) => Err(error),
    }
}

fn drafts(site: &Site<'_>, servers: &[Server], subjects: Vec<String>) -> Result<Vec<Draft>, CommandError> {
    let (key, certificate) = certificate(subjects)
        .map_err(|error| CommandError::new(Kind::Failure, format!("cannot make a certificate: {error}")))?;
    let open = |name, text| Draft { name, text, mode: OPEN };
    let mut drafts = vec![
        Draft { name: "tls.key", text: key, mode: SECRET },
        open("tls.crt", certificate),
        open("pineconed.toml", files::firewall(site.port)),
    ];
    drafts.extend(servers.iter().map(|server| open(files::name(*server), files::text(*server, site))));
    drafts.push(open("README", files::readme(site, servers)));
    Ok(drafts)
}

/// A new key, and a certificate that it signs itself, without an end: nobody verifies it but against itself, and nobody would renew it.
fn certificate(subjects: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(subjects)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Matrix homeserver of a Pinecone node");
    let certificate = params.self_signed(&key)?.pem();
    Ok((key.serialize_pem(), certificate))
}

/// Writes all files, or, if one is there already and is not to be replaced, none.
fn write_all(directory: &Path, drafts: &[Draft], force: bool) -> Result<(), CommandError> {
    fs::create_dir_all(directory).map_err(|error| cannot("make", directory, &error))?;
    let is_there = |draft: &&Draft| directory.join(draft.name).symlink_metadata().is_ok();
    if let (false, Some(draft)) = (force, drafts.iter().find(is_there)) {
        let message = format!(
            "{} is there already, and nothing was written; name another directory with --dir, or replace what is there with --force",
            directory.join(draft.name).display()
        );
        return Err(CommandError::new(Kind::Failure, message));
    }
    for draft in drafts {
        let path = directory.join(draft.name);
        write(&path, draft, force).map_err(|error| cannot("write", &path, &error))?;
    }
    Ok(())
}

/// Under another name first, so that nobody ever reads half of it, or a key that others could read for a moment.
fn write(path: &Path, draft: &Draft, force: bool) -> io::Result<()> {
    let new = path.with_file_name(format!(".{}.new", draft.name));
    // Left behind by one of us that was killed.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(draft.mode).open(&new)?;
    let written = file.write_all(draft.text.as_bytes()).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| if force { fs::rename(&new, path) } else { fs::hard_link(&new, path) });
    let _ = fs::remove_file(&new);
    moved
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CommandError {
    let path = path.display();
    if error.kind() == io::ErrorKind::PermissionDenied {
        let message = format!("you may not {what} {path}; use sudo, or name another directory with --dir");
        return CommandError::new(Kind::Permission, message);
    }
    CommandError::new(Kind::Failure, format!("cannot {what} {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn draft(text: &str) -> Draft {
        Draft { name: "tls.key", text: text.to_owned(), mode: SECRET }
    }

    #[test]
    fn nothing_is_overwritten_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tls.key");
        write_all(directory.path(), &[draft("first")], false).unwrap();
        let error = write_all(directory.path(), &[draft("second")], false).unwrap_err();
        assert!(error.message().contains("tls.key is there already"), "{}", error.message());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        write_all(directory.path(), &[draft("third")], true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
