//! `pineconed`: reads its configuration and runs the daemon in the foreground. Exit codes: 0 ok, 1 failure, 2 usage.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use pinecone::config::DEFAULT_FILE;
use pinecone::shell::reload::Startup;
use pinecone::shell::{config_file, daemon, logging, preflight};

#[path = "pineconed/args.rs"]
mod args;

use args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too, with code 0. If it cannot be printed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let (config, source) = match config_file::load(arguments.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error),
    };
    if matches!(arguments.command, Some(Command::Check)) {
        return check(&preflight::check(&config), &source);
    }
    logging::start(arguments.log_level.as_ref().unwrap_or(&config.log.level), config.log.format);
    tracing::info!("pineconed {} with {source}", env!("CARGO_PKG_VERSION"));
    if source == config_file::Source::Defaults {
        tracing::info!(
            "to change anything, copy config.example.toml to {DEFAULT_FILE}, edit it and type: pineconed check"
        );
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let startup = Startup { named: arguments.config, level_is_given: arguments.log_level.is_some() };
    match daemon::run(config, startup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Prints what was found; code 0 if the daemon would start.
fn check(findings: &preflight::Findings, source: &config_file::Source) -> ExitCode {
    for error in &findings.errors {
        say(&mut std::io::stderr(), &format!("error: {error}"));
    }
    for warning in &findings.warnings {
        say(&mut std::io::stderr(), &format!("warning: {warning}"));
    }
    for note in &findings.notes {
        say(&mut std::io::stdout(), note);
    }
    if !findings.errors.is_empty() {
        say(&mut std::io::stderr(), &format!("pineconed would not start with {source}"));
        return ExitCode::FAILURE;
    }
    say(&mut std::io::stdout(), &format!("pineconed would start with {source}"));
    ExitCode::SUCCESS
}

/// One line on standard error, also where logging is off or has not started.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    say(&mut std::io::stderr(), &format!("pineconed: {line}"));
    ExitCode::FAILURE
}

/// A closed standard stream is no reason to stop.
fn say(stream: &mut dyn Write, line: &str) {
    let _ = writeln!(stream, "{line}");
}
