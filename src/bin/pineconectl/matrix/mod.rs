//! `pineconectl matrix …`: what a stock Matrix homeserver on the mesh needs from us, which is not much: a name, a certificate, a few settings; a
//! test that says what is wrong; and somebody who tells Synapse when a peer is back.
//!
//! `args` has the command line, `init` and `files` write the directory, `server_name` reads names, `check` is the test in steps (with `tls` and
//! `http` below it), `synapse` and `watch` talk to the local Synapse.

mod args;
mod check;
mod files;
mod http;
mod init;
mod server_name;
mod synapse;
mod tls;
mod watch;

pub(crate) use args::MatrixCommand;

use crate::args::Arguments;
use crate::error::{CommandError, Kind};

/// Does it and prints.
pub(crate) fn run(arguments: &Arguments, command: &MatrixCommand) -> Result<(), CommandError> {
    match command {
        MatrixCommand::Init(options) => init::run(arguments, options),
        MatrixCommand::Name(options) => init::name(arguments, options),
        MatrixCommand::Check { server_name } => in_runtime(check::run(arguments, server_name)),
        MatrixCommand::Nudge(options) => in_runtime(watch::nudge(arguments, options)),
        MatrixCommand::Watch { synapse, interval } => in_runtime(watch::watch(synapse, *interval)),
    }
}

fn in_runtime(work: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::new(Kind::Failure, format!("cannot start: {error}")))?;
    let result = runtime.block_on(work);
    // A name look-up may hang in a thread of its own; it is left behind.
    runtime.shutdown_background();
    result
}
