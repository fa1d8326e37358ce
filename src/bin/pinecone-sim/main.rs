//! `pinecone-sim`: networks of the daemon's own nodes on a virtual clock.
//!
//! `run` plays a scenario that somebody wrote down, `measure` takes one measurement on one graph, `bench` takes all of them and writes
//! the report. This file only sorts; each command has a file of its own.

mod album;
mod args;
mod bench;
mod input;
mod jobs;
mod measure;
mod pictures;
mod play;
mod report;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Command::Run(args) => play::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinecone-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}
