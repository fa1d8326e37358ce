//! Configuration files as people write them: the example is complete and true, and every mistake has its own sentence.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pinecone::config::Config;
use pinecone::config::changes::KEYS;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn toml_files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(in_repository(directory)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty(), "{directory} has no files");
    files
}

fn example() -> String {
    fs::read_to_string(in_repository("config.example.toml")).unwrap()
}

/// `section.key` of every key that `text` sets.
fn keys_of(text: &str) -> BTreeSet<String> {
    let document: toml::Table = text.parse().unwrap();
    let keys = |(section, table): (&String, &toml::Value)| -> Vec<String> {
        table.as_table().unwrap().keys().map(|key| format!("{section}.{key}")).collect()
    };
    document.iter().flat_map(keys).collect()
}

/// `section.key` of every key that the parser takes, asked of the parser itself: it lists them when it meets an unknown one.
fn keys_of_the_schema() -> BTreeSet<String> {
    let known = |text: &str| -> Vec<String> {
        let message = Config::parse(text, "probe").unwrap_err().message;
        let list = message.strip_prefix("unknown key; known here: ").unwrap_or_else(|| panic!("{message}"));
        list.split(", ").map(str::to_owned).collect()
    };
    let keys = |section: String| -> Vec<String> {
        let keys = known(&format!("[{section}]\nzzzzzzzzzzzzzzzzzzzzzzzz = 1"));
        keys.into_iter().map(|key| format!("{section}.{key}")).collect()
    };
    known("zzzzzzzzzzzzzzzzzzzzzzzz = 1").into_iter().flat_map(keys).collect()
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(Config::parse(&example(), "config.example.toml").unwrap(), Config::default());
}

#[test]
fn every_key_of_the_schema_is_in_the_example() {
    assert_eq!(keys_of(&example()), keys_of_the_schema());
}

#[test]
fn every_key_in_the_example_has_a_comment_that_says_truly_when_a_change_takes_effect() {
    let example = example();
    let lines: Vec<&str> = example.lines().collect();
    let mut section = "";
    let mut keys = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        }
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else { continue };
        let comment: Vec<&str> = lines[..at].iter().rev().take_while(|line| line.starts_with('#')).copied().collect();
        let key = format!("{section}.{key}");
        let effect = KEYS.iter().find(|(name, _)| *name == key).map(|(_, effect)| *effect).unwrap();
        assert!(comment.len() >= 2 && comment[0].contains(&format!("Change: {effect}")), "{key}: {comment:?}");
        keys.push(key);
    }
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), keys_of_the_schema());
    assert_eq!(KEYS.len(), keys_of_the_schema().len());
}

#[test]
fn valid_files_are_accepted() {
    for path in toml_files("tests/config/valid") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(Config::parse(&text, "valid").is_ok(), "{}: {:?}", path.display(), Config::parse(&text, "valid"));
    }
}

#[test]
fn the_file_that_sets_everything_sets_every_key() {
    let text = fs::read_to_string(in_repository("tests/config/valid/everything_set.toml")).unwrap();
    assert_eq!(keys_of(&text), keys_of_the_schema());
}

/// Beside `x.toml` lies `x.expected`: the error, word for word. With `UPDATE_EXPECTED=1` in the environment it is written
/// instead, to be read before it is committed.
#[test]
fn invalid_files_are_refused_with_their_sentence() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    for path in toml_files("tests/config/invalid") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Err(error) = Config::parse(&text, name) else { panic!("{name} is accepted") };
        let expected = path.with_extension("expected");
        if update {
            fs::write(&expected, format!("{error}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_else(|_| panic!("{name} has no .expected beside it"));
        assert_eq!(format!("{error}\n"), expected, "{name}");
        assert!(!expected.contains("hunter2"), "{name}: the error repeats a secret");
        assert_eq!(expected.lines().count(), 1, "{name}: an error is one line");
    }
}
