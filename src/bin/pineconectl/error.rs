//! Errors and their exit codes.

use std::io::Write;
use std::process::ExitCode;

use pinecone::control::{Failure, FailureKind};

/// Exit code for a wrong command line.
pub(crate) const USAGE: u8 = 2;

/// Why the command failed: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything else.
    Failure = 1,
    /// No daemon on the socket.
    NotRunning = 3,
    /// Not allowed.
    Permission = 4,
    /// No answer in time, from the daemon or from another node.
    Unreachable = 5,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct CommandError {
    pub(crate) kind: Kind,
    /// What happened and what to do, in one line.
    message: String,
}

impl CommandError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Prints one line on standard error, whatever the message holds.
    pub(crate) fn print(&self) {
        let line = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().filter(|letter| !letter.is_control()).collect();
        // If standard error is closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "pineconectl: {line}");
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        let kind = if failure.kind == FailureKind::Unreachable { Kind::Unreachable } else { Kind::Failure };
        Self::new(kind, failure.message)
    }
}
