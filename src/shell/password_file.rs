//! The group password's file.

use std::path::{Path, PathBuf};

use super::files::{Owner, SecretFileError, read_secret};
use crate::config::{Secret, SessionSection, WeakSecret};

/// Longest password file in bytes. A password longer than this is some other file.
const MAX_LEN: usize = 1024;

/// Why there is no group password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The file is not there.
    #[error("session.password_file: {0} is not there; make it, or set session.password_file to \"\"")]
    Missing(PathBuf),
    /// Not text.
    #[error("session.password_file: {0} is not UTF-8 text")]
    NotText(PathBuf),
    /// Too short.
    #[error("session.password_file: {0}: {1}")]
    Weak(PathBuf, WeakSecret),
    /// The file must not or cannot be read.
    #[error("session.password_file: {0}")]
    File(#[from] SecretFileError),
}

impl PasswordFileError {
    /// Whether root looked at a file of another user. That user may use it.
    pub(crate) fn is_foreign_to_root(&self) -> bool {
        matches!(self, Self::File(error) if error.is_foreign_to_root())
    }
}

/// The pre-shared key of sessions: of the group password, or zeros if none is configured.
///
/// # Errors
/// A password is configured and its file is not right.
pub fn psk(config: &SessionSection) -> Result<[u8; 32], PasswordFileError> {
    match &config.password_file {
        None => Ok([0; 32]),
        Some(path) => load(path).map(|secret| secret.to_psk()),
    }
}

/// Reads the password in the file.
///
/// # Errors
/// The file is not there or not right.
pub fn load(path: &Path) -> Result<Secret, PasswordFileError> {
    let bytes = read_secret(path, MAX_LEN, Owner::UsOrRoot)?;
    let bytes = bytes.ok_or_else(|| PasswordFileError::Missing(path.to_owned()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| PasswordFileError::NotText(path.to_owned()))?;
    Secret::new(text).map_err(|weak| PasswordFileError::Weak(path.to_owned(), weak))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file_with(bytes: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn without_a_password_file_the_pre_shared_key_is_zeros() {
        assert_eq!(psk(&SessionSection::default()).unwrap(), [0; 32]);
    }

    #[test]
    fn nodes_with_the_same_password_have_the_same_pre_shared_key() {
        let (_a, a) = file_with(b"correct horse battery\n", 0o600);
        let (_b, b) = file_with(b"correct horse battery", 0o400);
        let psk_of =
            |path: PathBuf| psk(&SessionSection { password_file: Some(path), ..SessionSection::default() }).unwrap();
        let key = psk_of(a);
        assert_ne!(key, [0; 32]);
        assert_eq!(key, psk_of(b));
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_with_its_name() {
        let (_exposed, exposed) = file_with(b"correct horse battery\n", 0o640);
        let (_weak, weak) = file_with(b"hunter2\n", 0o600);
        let (_binary, binary) = file_with(&[0xff; 20], 0o600);
        let missing = PathBuf::from("/nonexistent/password");
        let says = |path: &Path, what: &str| {
            let message = load(path).unwrap_err().to_string();
            assert!(message.starts_with("session.password_file: "), "{message}");
            assert!(message.contains(path.to_str().unwrap()) && message.contains(what), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        };
        says(&exposed, "chmod 600");
        says(&weak, "at least 16 characters");
        says(&binary, "not UTF-8");
        says(&missing, "is not there");
    }
}
