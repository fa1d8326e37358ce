//! `pineconectl top`: the node live on the terminal, until `q`.
//!
//! - `model`: what was asked of the daemon, and rates from one time to the next; - `draw`: how it looks; - `screen`: the terminal;
//!   here: the keys.
//!
//! The terminal is given back however this ends: on `q`, on an error, on a panic and on signals, which end the loop.

mod draw;
mod model;
mod screen;

use std::io::{IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pinecone::control::{Answer, Request};
use pinecone::shell::clock::Clock;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Arguments, TopOptions};
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::style::Style;
use model::{Model, Sample};
use screen::Screen;

/// How often keys and signals are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How long the picture may take to end after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// Runs until `q`, Ctrl-C or a signal.
pub(crate) fn run(arguments: &Arguments, options: &TopOptions) -> Result<(), CommandError> {
    if !stdout().is_terminal() {
        let message = "top needs a terminal; `pineconectl status`, `peers` and `sessions` do not";
        return Err(CommandError::new(Kind::Failure, message));
    }
    let clock = Clock::new();
    let mut client = Client::connect(&arguments.socket, arguments.timeout)?;
    let mut model = Model::new(ask(&mut client, &clock)?, Style::of_stdout().is_on());
    let stopped = stop_on_signals();
    let mut screen = Screen::take().map_err(|error| failed(&error))?;
    follow(&mut screen, &mut model, &mut client, &clock, options.interval, &stopped)
}

fn follow(
    screen: &mut Screen,
    model: &mut Model,
    client: &mut Client,
    clock: &Clock,
    interval: Duration,
    stopped: &AtomicBool,
) -> Result<(), CommandError> {
    let mut asked = clock.now();
    while !stopped.load(Ordering::Relaxed) {
        screen.draw(|frame| draw::frame(frame, model)).map_err(|error| failed(&error))?;
        screen.wait(TICK).map_err(|error| failed(&error))?;
        if event::poll(Duration::ZERO).map_err(|error| failed(&error))?
            && let Event::Key(key) = event::read().map_err(|error| failed(&error))?
            && !handle(model, key)
        {
            return Ok(());
        }
        if asked.has_passed(interval, clock.now()) {
            asked = clock.now();
            model.next(ask(client, clock)?);
        }
    }
    Ok(())
}

/// Acts on a key; false if that was the last.
fn handle(model: &mut Model, key: KeyEvent) -> bool {
    if key.kind == KeyEventKind::Release {
        return true;
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Tab => model.switch(),
        KeyCode::Down | KeyCode::Char('j') => model.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => model.scroll(-1),
        KeyCode::PageDown => model.scroll(10),
        KeyCode::PageUp => model.scroll(-10),
        _ => {}
    }
    true
}

fn ask(client: &mut Client, clock: &Clock) -> Result<Sample, CommandError> {
    let answers = (client.ask(&Request::Status)?, client.ask(&Request::Peers)?, client.ask(&Request::Sessions)?);
    match answers {
        (Answer::Status(status), Answer::Peers(peers), Answer::Sessions(sessions)) => {
            Ok(Sample { at: clock.now(), status, peers, sessions })
        }
        _ => Err(CommandError::new(Kind::Failure, "the daemon answered something else than was asked")),
    }
}

/// Becomes true when we are told to end. Signals are caught from when this returns, so that none finds the terminal changed and nobody to mend it.
fn stop_on_signals() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
            let [Ok(mut terminate), Ok(mut hangup), Ok(mut interrupt), Ok(mut quit)] = kinds.map(signal) else {
                return;
            };
            let _ = ready.send(());
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
            // The other thread does not see that while it waits for a daemon, or for a terminal that takes nothing more.
            std::thread::sleep(GRACE);
            screen::abandon();
        });
    });
    // Ends at once with an error where signals cannot be caught: then the thread has gone, and the sender with it.
    let _ = is_ready.recv();
    stopped
}

fn failed(error: &std::io::Error) -> CommandError {
    CommandError::new(Kind::Failure, format!("the terminal: {error}"))
}

#[cfg(test)]
mod tests;
