//! Manual pages and completions, made from the command lines and from `config.example.toml`, for packages:
//!
//! ```sh
//! cargo run --example assets -- target/assets
//! ```
//!
//! An example, so that what it needs is not in the programs. It takes their command lines as source files: the programs are no libraries.
#![allow(dead_code, reason = "the command lines are there to be shown, not used")]

#[path = "../../src/bin/pineconectl/args.rs"]
mod args;
#[path = "../../src/bin/pineconed/args.rs"]
mod daemon;
#[path = "../../src/bin/pineconectl/error.rs"]
mod error;
#[path = "../../src/bin/pineconectl/matrix/args.rs"]
mod matrix;
#[path = "../../src/bin/pineconectl/names.rs"]
mod names;

mod config_page;
mod pages;
mod roff;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(to), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: assets DIRECTORY".into());
    };
    let (daemon, ctl) = (daemon::Arguments::command(), args::Arguments::command());
    write(&to, "man/pineconed.8", &pages::pineconed(&daemon)?)?;
    write(&to, "man/pineconectl.1", &pages::pineconectl(&ctl)?)?;
    let example = include_str!("../../config.example.toml");
    write(&to, "man/pineconed.toml.5", config_page::page(example).as_bytes())?;
    for (name, command) in [("pineconed", &daemon), ("pineconectl", &ctl)] {
        for (shell, file) in [
            (Shell::Bash, format!("bash/{name}")),
            (Shell::Zsh, format!("zsh/_{name}")),
            (Shell::Fish, format!("fish/{name}.fish")),
        ] {
            write(&to, &file, &completion(command, name, shell))?;
        }
    }
    Ok(())
}

fn completion(command: &Command, name: &str, shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    generate(shell, &mut command.clone(), name, &mut text);
    text
}

fn write(directory: &Path, name: &str, text: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().ok_or("a file is in a directory")?)?;
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
