//! Names of nodes under `pinecone.internal`, which mean the same on every host and leave none.
//!
//! `internal` is reserved for private use: no public name server will ever have it. What stands in front of [`SUFFIX`] is a key
//! ([`name`]).

pub mod name;

/// What all our names end in, without a dot at either end.
pub const SUFFIX: &str = "pinecone.internal";
