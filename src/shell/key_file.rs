//! The private key's file: read if it is there, made if it is not, never overwritten, never printed.
//!
//! Two forms are read: 64 hexadecimal digits (the 32-byte seed, RFC 8032 §5.1.5) with an optional line break, and PEM
//! (`PRIVATE KEY`, PKCS#8, ed25519) as `openssl genpkey -algorithm ed25519` makes it. The first is what is written.
//!
//! A file is made under another name, completely, and then linked to its own: a reader sees all of it or nothing, and of two
//! processes that make it at the same time one loses and takes the other's.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use zeroize::Zeroizing;

use super::clock::random_seed;
use super::files::{Owner, SecretFileError, directory_of, make_directory_of, may_make, read_secret};
use crate::keys::{Keypair, PublicKey, Seed};

/// Longest file that is read: a PEM key has 119 bytes, one with its public half and comments stays below this.
const MAX_LEN: usize = 4096;
/// Of the file.
const FILE_MODE: u32 = 0o600;
/// Of its directory, if that has to be made: nobody else has business there.
const DIRECTORY_MODE: u32 = 0o700;

/// Where a key came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file was there.
    Read,
    /// The file was made, with a new key.
    Made,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is not there.
    #[error("{0} is not there; make it with `pineconectl key generate {0}`")]
    Missing(PathBuf),
    /// The file holds something else.
    #[error(
        "{0} holds no private key: neither 64 hexadecimal digits nor a PEM (PKCS#8) ed25519 key; \
         make one with `pineconectl key generate FILE`"
    )]
    NotAKey(PathBuf),
    /// The file is there, and nothing is overwritten.
    #[error("{0} is there already and is not overwritten; name another file, or move it away")]
    Exists(PathBuf),
    /// The file must not or cannot be read or made.
    #[error(transparent)]
    File(#[from] SecretFileError),
}

impl KeyFileError {
    /// Whether root looked at a file of another user. That user may use it.
    pub fn is_foreign_to_root(&self) -> bool {
        matches!(self, Self::File(error) if error.is_foreign_to_root())
    }

    /// Whether the operating system denied it for want of rights.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::File(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Reads the key in the file, or makes the file with a new key if it is not there.
///
/// # Errors
/// The file is there and is not right, or cannot be made.
pub fn load_or_create(path: &Path) -> Result<(Seed, Origin), KeyFileError> {
    match load(path) {
        Err(KeyFileError::Missing(_)) => {}
        other => return other.map(|seed| (seed, Origin::Read)),
    }
    make_directory_of(path, DIRECTORY_MODE).map_err(SecretFileError::io(path, "make the directory of"))?;
    let seed = new_seed().map_err(SecretFileError::io(path, "get random bytes for"))?;
    match create(path, &seed) {
        Ok(()) => Ok((seed, Origin::Made)),
        // Another process was faster: its key counts.
        Err(KeyFileError::Exists(_)) => load(path).map(|seed| (seed, Origin::Read)),
        Err(error) => Err(error),
    }
}

/// Reads the key in the file.
///
/// # Errors
/// The file is not there or not right.
pub fn load(path: &Path) -> Result<Seed, KeyFileError> {
    load_of(path, Owner::UsOrRoot)
}

/// The public key that belongs to the file, whoever owns it: root may look at the key of a daemon that runs as another user.
///
/// # Errors
/// The file is not there or not right.
pub fn load_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    load_of(path, Owner::Anyone).map(|seed| Keypair::from_seed(&seed).public())
}

/// Makes the file with this key. The directory must be there.
///
/// # Errors
/// [`KeyFileError::Exists`] if anything has this name already; it is left as it is.
pub fn create(path: &Path, seed: &Seed) -> Result<(), KeyFileError> {
    let suffix = new_seed().map_err(SecretFileError::io(path, "get random bytes for"))?;
    let draft = directory_of(path).join(format!(".pinecone-key-{}", HEXLOWER.encode(&suffix.0[..8])));
    let made = write_draft(&draft, seed).and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match made {
        // Without this a power cut may take the name back; the key would be another after it.
        Ok(()) => fs::File::open(directory_of(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|error| SecretFileError::io(path, "write")(error).into()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(KeyFileError::Exists(path.to_owned())),
        Err(error) => Err(SecretFileError::io(path, "make")(error).into()),
    }
}

/// What [`load_or_create`] would find: the public key, or `None` if it would make a file. Makes nothing.
///
/// # Errors
/// What [`load_or_create`] would most likely say.
pub fn probe(path: &Path) -> Result<Option<PublicKey>, KeyFileError> {
    match load(path) {
        Ok(seed) => Ok(Some(Keypair::from_seed(&seed).public())),
        Err(KeyFileError::Missing(_)) => {
            may_make(path).map_err(SecretFileError::io(path, "make"))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A key that nobody has.
///
/// # Errors
/// The operating system has no randomness to give.
pub fn new_seed() -> io::Result<Seed> {
    random_seed().map(Seed)
}

/// The line that a key file holds: 64 hexadecimal digits and a line break.
pub fn to_text(seed: &Seed) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * seed.0.len() + 1));
    HEXLOWER.encode_append(&seed.0, &mut text);
    text.push('\n');
    text
}

fn load_of(path: &Path, owner: Owner) -> Result<Seed, KeyFileError> {
    let bytes = read_secret(path, MAX_LEN, owner)?.ok_or_else(|| KeyFileError::Missing(path.to_owned()))?;
    parse(&bytes).ok_or_else(|| KeyFileError::NotAKey(path.to_owned()))
}

fn write_draft(draft: &Path, seed: &Seed) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(draft)?;
    file.write_all(to_text(seed).as_bytes())?;
    file.sync_all()
}

fn parse(bytes: &[u8]) -> Option<Seed> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if text.starts_with("-----BEGIN") {
        let key = SigningKey::from_pkcs8_pem(text).ok()?;
        return Some(Seed(key.to_bytes()));
    }
    let mut seed = Seed([0; 32]);
    let fits = HEXLOWER_PERMISSIVE.decode_len(text.len()).ok()? == seed.0.len();
    (fits && HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut seed.0).is_ok()).then_some(seed)
}

#[cfg(test)]
mod tests;
