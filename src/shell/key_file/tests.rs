use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use data_encoding::BASE64;

use super::*;

/// RFC 8032 §7.1, test 1.
const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// What stands before the seed in the DER of an ed25519 key (RFC 8410 §10.3).
const DER_START: &str = "302e020100300506032b657004220420";

fn file_with(contents: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    fs::write(&path, contents).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

fn public_of(path: &Path) -> String {
    Keypair::from_seed(&load(path).unwrap()).public().to_string()
}

/// Loading fails and says this.
fn refuses(path: &Path, what: &str) {
    for message in [load(path).unwrap_err().to_string(), load_or_create(path).unwrap_err().to_string()] {
        assert!(message.contains(what) && message.contains(path.to_str().unwrap()), "{message}");
        assert!(!message.contains(&SEED[..8]), "{message}");
    }
}

#[test]
fn hexadecimal_digits_are_a_key_with_and_without_a_line_break() {
    for text in [SEED.to_owned(), format!("{SEED}\n"), format!("{}\r\n", SEED.to_uppercase())] {
        let (_directory, path) = file_with(text.as_bytes(), 0o600);
        assert_eq!(public_of(&path), PUBLIC);
    }
}

#[test]
fn a_pem_file_is_a_key() {
    let der = HEXLOWER.decode(format!("{DER_START}{SEED}").as_bytes()).unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der));
    let (_directory, path) = file_with(pem.as_bytes(), 0o400);
    assert_eq!(public_of(&path), PUBLIC);
}

#[test]
fn the_first_start_makes_a_key_that_later_starts_keep() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/node.key");
    let (made, origin) = load_or_create(&path).unwrap();
    assert_eq!(origin, Origin::Made);
    let (read, origin) = load_or_create(&path).unwrap();
    assert_eq!((read.0, origin), (made.0, Origin::Read));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left behind");
    assert_ne!(load_or_create(&directory.path().join("other")).unwrap().0.0, made.0);
}

#[test]
fn processes_that_race_for_the_first_start_end_up_with_the_same_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.key");
    let seeds: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_create(&path).unwrap().0.0)).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(seeds.iter().all(|seed| *seed == seeds[0]));
    assert_eq!(load(&path).unwrap().0, seeds[0]);
}

#[test]
fn nothing_is_overwritten() {
    let (directory, path) = file_with(b"precious", 0o600);
    let seed = new_seed().unwrap();
    assert!(matches!(create(&path, &seed), Err(KeyFileError::Exists(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let link = directory.path().join("link");
    symlink(directory.path().join("nowhere"), &link).unwrap();
    assert!(matches!(create(&link, &seed), Err(KeyFileError::Exists(_))));
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn a_file_that_others_may_read_is_refused_with_what_to_type() {
    for mode in [0o644, 0o640, 0o604, 0o602, 0o610] {
        let (_directory, path) = file_with(SEED.as_bytes(), mode);
        refuses(&path, &format!("has mode {mode:04o}"));
        refuses(&path, &format!("type: chmod 600 {}", path.display()));
    }
}

#[test]
fn what_is_no_key_is_refused_and_left_alone() {
    let short = &SEED[..62];
    let long = format!("{SEED}00");
    for contents in ["", "\n", short, &long, "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAA==\n"] {
        let (_directory, path) = file_with(contents.as_bytes(), 0o600);
        refuses(&path, "holds no private key");
        assert_eq!(fs::read(&path).unwrap(), contents.as_bytes());
    }
    let (_directory, path) = file_with(&[b'0'; MAX_LEN + 1], 0o600);
    refuses(&path, "has more than 4096 bytes");
}

#[test]
fn what_is_no_file_is_refused_without_waiting_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    refuses(directory.path(), "is not a regular file");
    nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    refuses(&path("pipe"), "is not a regular file");
    let _listener = UnixListener::bind(path("socket")).unwrap();
    refuses(&path("socket"), "is not a regular file");
    symlink("/dev/null", path("to-device")).unwrap();
    refuses(&path("to-device"), "is not a regular file");
    symlink("nowhere", path("dangling")).unwrap();
    refuses(&path("dangling"), "is a symbolic link to something that is not there");
}

#[test]
fn a_link_to_a_good_file_is_followed() {
    let (directory, path) = file_with(SEED.as_bytes(), 0o600);
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(public_of(&link), PUBLIC);
}

#[test]
fn a_file_of_another_user_is_shown_to_root_but_not_used() {
    let (_directory, path) = file_with(SEED.as_bytes(), 0o600);
    // Only root can give a file away, and only root can read it then.
    if std::os::unix::fs::chown(&path, Some(4242), None).is_err() {
        return;
    }
    refuses(&path, "belongs to user 4242");
    assert_eq!(load_public(&path).unwrap().to_string(), PUBLIC);
}

#[test]
fn a_probe_tells_what_is_there_and_makes_nothing() {
    let (directory, path) = file_with(SEED.as_bytes(), 0o600);
    assert_eq!(probe(&path).unwrap().unwrap().to_string(), PUBLIC);
    assert_eq!(probe(&directory.path().join("not/yet/node.key")).unwrap(), None);
    assert!(probe(&path.join("node.key")).is_err(), "the directory is a file");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
