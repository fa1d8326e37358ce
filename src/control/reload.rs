//! What a reload did, or would do.

use serde::{Deserialize, Serialize};

use crate::config::changes::Change;

/// The answer to [`Request::Reload`](super::Request::Reload).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// The file that was read, or that there is none.
    pub source: String,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// What differs from what the daemon runs with, each with the time when it takes effect: `reload` or `restart`.
    pub changes: Vec<Change>,
    /// What is allowed but probably not meant, in sentences.
    pub warnings: Vec<String>,
}
