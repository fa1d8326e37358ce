//! Loading the golden vectors of `tests/vectors` (conventions: the README there). Anything unexpected in a file stops the
//! test: a case that cannot be read must not pass as a case that was run.
#![allow(dead_code, unreachable_pub, reason = "every test uses its part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a file that is not as described is a failed test"
)]

use std::collections::BTreeMap;

use pinecone::keys::{Keypair, PublicKey, Seed};
use pinecone::wire::coords::Coords;
use pinecone::wire::snake::Watermark;
use pinecone::wire::tree::Root;
pub use serde_json::Value;

/// One file of vectors with its table of keys.
pub struct Vectors {
    json: Value,
    keys: BTreeMap<String, Keypair>,
}

impl Vectors {
    /// Reads `tests/vectors/{name}.json`.
    pub fn load(name: &str) -> Self {
        let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut keys = BTreeMap::new();
        for entry in json["keys"].as_array().into_iter().flatten() {
            let pair = Keypair::from_seed(&Seed(hex(&entry["seed"]).try_into().expect("a seed of 32 bytes")));
            assert_eq!(pair.public().to_string(), text_of(&entry["public"]), "the key table of {name}");
            keys.insert(text_of(&entry["name"]).to_owned(), pair);
        }
        Self { json, keys }
    }

    /// The cases under `list`; a missing or empty list is an error.
    pub fn cases(&self, list: &str) -> &[Value] {
        let cases = self.json[list].as_array().unwrap_or_else(|| panic!("no list {list}"));
        assert!(!cases.is_empty(), "the list {list} is empty");
        cases
    }

    /// A key by its name (`K7`, `FULL`, `ZERO`) or in hex.
    pub fn key(&self, value: &Value) -> PublicKey {
        match text_of(value) {
            "FULL" => PublicKey::FULL,
            "ZERO" => PublicKey::ZERO,
            name if name.starts_with('K') => self.pair(value).public(),
            raw => raw.parse().unwrap_or_else(|error| panic!("{raw}: {error}")),
        }
    }

    /// The pair of a key that the file's table names.
    pub fn pair(&self, value: &Value) -> &Keypair {
        self.keys.get(text_of(value)).unwrap_or_else(|| panic!("{value} is not in the table of keys"))
    }

    /// The pair of a key that the file's table names, to be given away.
    pub fn pair_of(&self, value: &Value) -> Keypair {
        let entry = self.cases("keys").iter().find(|entry| entry["name"] == *value);
        let entry = entry.unwrap_or_else(|| panic!("{value} is not in the table of keys"));
        Keypair::from_seed(&Seed(hex(&entry["seed"]).try_into().expect("a seed of 32 bytes")))
    }

    /// How the file writes a key: by its name if it has one.
    pub fn name_of(&self, key: &PublicKey) -> String {
        let named = self.keys.iter().find(|(_, pair)| pair.public() == *key).map(|(name, _)| name.clone());
        named.unwrap_or_else(|| if *key == PublicKey::FULL { "FULL".to_owned() } else { key.to_string() })
    }

    /// A root, written `[key, sequence]`.
    pub fn root(&self, value: &Value) -> Root {
        Root { key: self.key(&value[0]), sequence: number(&value[1]) }
    }

    /// A watermark, written `[key, sequence]`.
    pub fn watermark(&self, value: &Value) -> Watermark {
        Watermark { key: self.key(&value[0]), sequence: number(&value[1]) }
    }
}

/// Text.
pub fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}

/// Bytes, written in lower-case hex.
pub fn hex(value: &Value) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text_of(value).as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// A number: a decimal string if it may need 64 bits, otherwise a JSON number.
pub fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().unwrap_or_else(|error| panic!("{value}: {error}")),
        _ => value.as_u64().unwrap_or_else(|| panic!("{value} is not a number")),
    }
}

/// A truth value.
pub fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| panic!("{value} is not true or false"))
}

/// Coordinates, written as a list of numbers.
pub fn coords(value: &Value) -> Coords {
    let ports = value.as_array().unwrap_or_else(|| panic!("{value} is not a list"));
    Coords::new(ports.iter().map(number).collect())
}
