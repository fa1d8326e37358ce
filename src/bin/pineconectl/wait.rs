//! `pineconectl wait`: until the daemon is as a script needs it. Asks again and again; the daemon has nothing to do with it.

use std::time::Duration;

use pinecone::control::{Answer, Request, TargetText};
use pinecone::node::Target;
use pinecone::shell::clock::Clock;
use serde_json::json;

use crate::args::{Arguments, WaitOptions};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::names;
use crate::output;

/// Between two looks: a tenth of what people notice, and a thousandth of a per cent of the daemon's time.
const PAUSE: Duration = Duration::from_millis(100);
/// One question to the far node; the next one goes another way if there is one by then.
const QUESTION: Duration = Duration::from_secs(2);

/// Waits; an error of kind `Unreachable` if the time is over before.
pub(crate) fn run(arguments: &Arguments, options: &WaitOptions) -> Result<(), CommandError> {
    let clock = Clock::new();
    let start = clock.now();
    loop {
        let left = arguments.timeout.saturating_sub(clock.now().saturating_since(start));
        let missing = match look(arguments, options, left.max(PAUSE)) {
            Ok(None) => {
                let seconds = clock.now().saturating_since(start).as_secs_f64();
                return if arguments.json { output::json(&json!({ "seconds": seconds })) } else { Ok(()) };
            }
            Ok(Some(missing)) => missing,
            // It starts, or is started again.
            Err(error) if matches!(error.kind, Kind::NotRunning | Kind::Unreachable) => error.message().to_owned(),
            Err(error) => return Err(error),
        };
        if left <= PAUSE {
            let seconds = arguments.timeout.as_secs_f64();
            return Err(CommandError::new(Kind::Unreachable, format!("not within {seconds} s: {missing}")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What is missing, in a sentence.
fn look(arguments: &Arguments, options: &WaitOptions, left: Duration) -> Result<Option<String>, CommandError> {
    let mut client = Client::connect(&arguments.socket, left)?;
    let Answer::Status(status) = client.ask(&Request::Status)? else {
        return Err(CommandError::new(Kind::Failure, "the daemon answered something else than its status"));
    };
    if status.peers < options.peers {
        return Ok(Some(format!("{} of {} peers", status.peers, options.peers)));
    }
    let Some(whom) = &options.route else { return Ok(None) };
    reach(&mut client, names::find(whom)?, left)
}

fn reach(client: &mut Client, target: Target, left: Duration) -> Result<Option<String>, CommandError> {
    match client.ask(&Request::Ping { target, timeout: left.min(QUESTION) }) {
        Ok(_) => Ok(None),
        Err(error) if error.kind == Kind::Unreachable => Ok(Some(format!("{} does not answer", TargetText(target)))),
        Err(error) => Err(error),
    }
}
