//! What the key file, the password file and the control socket need of the file system in common.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{AccessFlags, access, geteuid};
use zeroize::Zeroizing;

/// The directory that `path` lies in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// Makes the directory that `path` lies in, and those above it, with this mode if there is none.
pub(crate) fn make_directory_of(path: &Path, mode: u32) -> io::Result<()> {
    let directory = directory_of(path);
    if directory.is_dir() { Ok(()) } else { fs::DirBuilder::new().recursive(true).mode(mode).create(directory) }
}

/// Whether a file could be made at `path`, with the directories above it: whether the nearest directory that there is may be
/// written to.
pub(crate) fn may_make(path: &Path) -> io::Result<()> {
    let mut directory = directory_of(path);
    while matches!(fs::metadata(directory), Err(error) if error.kind() == io::ErrorKind::NotFound) {
        directory = directory_of(directory);
    }
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(directory, AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// Why a file with a secret is not read.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// A directory, a device, a pipe, …
    #[error("{0} is not a regular file; name the file itself")]
    NotAFile(PathBuf),
    /// A symbolic link whose end is not there.
    #[error("{0} is a symbolic link to something that is not there; remove it, or put back what it points to")]
    DanglingLink(PathBuf),
    /// Others may read or write it.
    #[error("{path} has mode {mode:04o}: others may read or change it; type: chmod 600 {path}")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else, who could read and change it.
    #[error("{path} belongs to user {owner}, who could read and change it; {}", foreign_advice(.path, *.us))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Longer than any file of this kind is.
    #[error("{path} has more than {most} bytes; this is some other file")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        most: usize,
    },
    /// The operating system refuses.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// What to do about a file that is somebody else's. Root mostly looks at that of the user whom the service runs as, and must not take it away.
fn foreign_advice(path: &Path, us: u32) -> String {
    if us == 0 {
        "that is right if pineconed runs as that user, as the packaged service does; as root it does not use the file"
            .to_owned()
    } else {
        format!("run pineconed as that user, or type: chown {us} {}", path.display())
    }
}

impl SecretFileError {
    /// Whether root looked at a file of another user. That user may use it.
    pub(crate) fn is_foreign_to_root(&self) -> bool {
        matches!(self, Self::Foreign { us: 0, .. })
    }

    pub(crate) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}

/// Whose a file with a secret may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// To act on what it holds: nobody else may have chosen it.
    UsOrRoot,
    /// To show what it holds.
    Anyone,
}

/// Reads a file that holds a secret: a regular file of at most `most` bytes that nobody but its owner may read or write.
/// `None` if there is no such file.
///
/// What is checked is what was opened, so nobody can swap the file in between; and nothing is waited for, so a pipe in the
/// place of the file does not hang the daemon.
pub(crate) fn read_secret(
    path: &Path,
    most: usize,
    owner: Owner,
) -> Result<Option<Zeroizing<Vec<u8>>>, SecretFileError> {
    let mut options = fs::OpenOptions::new();
    let opened = options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dangling = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
            return if dangling { Err(SecretFileError::DanglingLink(path.to_owned())) } else { Ok(None) };
        }
        // A socket cannot be opened.
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            return Err(SecretFileError::NotAFile(path.to_owned()));
        }
        Err(error) => return Err(SecretFileError::io(path, "open")(error)),
    };
    let found = file.metadata().map_err(SecretFileError::io(path, "look at"))?;
    if !found.is_file() {
        return Err(SecretFileError::NotAFile(path.to_owned()));
    }
    let us = geteuid().as_raw();
    if owner == Owner::UsOrRoot && found.uid() != us && found.uid() != 0 {
        return Err(SecretFileError::Foreign { path: path.to_owned(), owner: found.uid(), us });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    // The space for all of it at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(SecretFileError::io(path, "read"))?;
    if bytes.len() > most {
        return Err(SecretFileError::TooLong { path: path.to_owned(), most });
    }
    Ok(Some(bytes))
}
