//! Replays every saved fuzzing input on stable Rust: whatever a fuzzer once found stays found. Also keeps the targets, the
//! fuzzer's files and the corpora together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use pinecone::fuzzing::TARGETS;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_saved_input_still_passes_its_target() {
    for (name, target) in TARGETS {
        let corpus = files(&fuzz("corpus").join(name));
        assert!(corpus.len() >= 3, "{name} has hardly any inputs");
        for file in corpus {
            // Printed only if a target panics: which input it was.
            println!("{}", file.display());
            target(&fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_that_calls_it_and_nothing_else_lies_around() {
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    let mut names = Vec::new();
    for (name, _) in TARGETS {
        let fuzzer = fs::read_to_string(fuzz("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(fuzzer.contains(&format!("pinecone::fuzzing::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} is not in fuzz/Cargo.toml");
        names.push((*name).to_owned());
    }
    assert!(names.is_sorted(), "TARGETS is in alphabetical order");
    let stems = |directory: &str| -> Vec<_> {
        files(&fuzz(directory)).iter().map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
}
