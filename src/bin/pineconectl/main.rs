//! `pineconectl`: asks the running daemon, one request and one answer at a time, and looks after key files.
//!
//! What was asked for goes to standard output, as text for people or, with `--json`, as one JSON document; errors go to
//! standard error, one line each. Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon not running, 4 permission, 5 timeout or
//! unreachable.

mod args;
mod client;
mod config;
mod doctor;
mod error;
mod firewall;
mod keys;
mod matrix;
mod names;
mod map;
mod output;
mod peers;
mod ping;
mod routes;
mod reload;
mod show;
mod style;
#[cfg(feature = "tui")]
mod top;
mod units;
mod wait;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use pinecone::config::PeerUri;
use pinecone::control::{Answer, Request};
use pinecone::metrics;
use serde_json::json;

use args::{Arguments, Command, PeerCommand};
use client::Client;
use error::CommandError;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with code 0. If it cannot be printed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(error::USAGE));
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            error.exit_code()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let request = match &arguments.command {
        Command::Key(command) => return keys::run(command, arguments.json),
        Command::Matrix(command) => return matrix::run(arguments, command),
        Command::Config(command) => return config::run(command, arguments.json),
        Command::Doctor(options) => return doctor::run(arguments, options),
        #[cfg(feature = "tui")]
        Command::Top(options) => return top::run(arguments, options),
        Command::Map(options) => return map::run(arguments, options),
        Command::Watch => return watch::run(arguments),
        Command::Ping(options) => return ping::run(arguments, options),
        Command::Wait(options) => return wait::run(arguments, options),
        Command::Reload { dry_run } => Request::Reload { dry_run: *dry_run },
        Command::Status => Request::Status,
        Command::Peers => Request::Peers,
        Command::Tree => Request::Tree,
        Command::Snake => Request::Snake,
        Command::Sessions => Request::Sessions,
        Command::Lookup { target } => Request::Lookup { target: names::find(target)?, timeout: arguments.timeout },
        Command::Trace { target } => Request::Trace { target: names::find(target)?, timeout: arguments.timeout },
        Command::Path { target } => Request::Path { target: names::find(target)?, timeout: arguments.timeout },
        Command::Metrics => Request::Metrics,
        Command::Firewall { command } => firewall::request(command.as_ref())?,
        Command::Peer(PeerCommand::Add { uri }) => Request::PeerAdd { uri: PeerUri::clone(uri) },
        Command::Peer(PeerCommand::Remove { uri }) => Request::PeerRemove { uri: PeerUri::clone(uri) },
    };
    let answer = Client::connect(&arguments.socket, arguments.timeout)?.ask(&request)?;
    if arguments.json { print_document(&request, &answer) } else { output::text(&as_text(&request, &answer)) }
}

/// The answer as one JSON document; what was done, if there is nothing to answer.
fn print_document(request: &Request, answer: &Answer) -> Result<(), CommandError> {
    match (request, answer) {
        (Request::PeerAdd { uri }, Answer::Done) => output::json(&json!({ "added": uri.to_string() })),
        (Request::PeerRemove { uri }, Answer::Done) => output::json(&json!({ "removed": uri.to_string() })),
        _ => output::json(answer),
    }
}

/// The answer for people.
fn as_text(request: &Request, answer: &Answer) -> String {
    match (request, answer) {
        (_, Answer::Status(status)) => show::status(status),
        (_, Answer::Peers(peers)) => peers::text(peers),
        (_, Answer::Tree(tree)) => show::tree(tree),
        (_, Answer::Snake(snake)) => show::snake(snake),
        (_, Answer::Sessions(sessions)) => show::sessions(sessions),
        (_, Answer::Lookup(answer)) => show::lookup(answer),
        (_, Answer::Reload(report)) => reload::text(report),
        (_, Answer::Metrics(snapshot)) => {
            metrics::encode(snapshot, &metrics::Process::default(), metrics::Format::Prometheus)
        }
        (_, Answer::Firewall(status)) => firewall::text(status),
        (_, Answer::Explanation(explanation)) => firewall::explanation(explanation),
        (_, Answer::Ping(answer)) => ping::reply_line(1, answer),
        (_, Answer::Trace(answer)) => routes::trace(answer),
        (_, Answer::Path(status)) => routes::path(status),
        (Request::PeerAdd { uri }, Answer::Done) => {
            format!("{uri} will be dialled until the daemon stops; `pineconectl peers` shows how it goes\n")
        }
        (Request::PeerRemove { uri }, Answer::Done) => format!("{uri} is removed\n"),
        // Only `watch` gets events, and prints them itself.
        (_, Answer::Event(_) | Answer::Done) => String::new(),
    }
}
