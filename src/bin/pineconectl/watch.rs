//! `pineconectl watch`: one line per event, until interrupted or the daemon stops.

use pinecone::control::events::{Event, Happened};
use pinecone::control::{Answer, Request};

use crate::args::Arguments;
use crate::client::Client;
use crate::error::{CommandError, Kind};
use crate::output;
use crate::style::Style;
use crate::units::coordinates;

/// Prints events as they come. Ends with an error, as a watch that ended has not seen everything.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let client = Client::connect(&arguments.socket, arguments.timeout)?;
    let style = Style::of_stdout();
    client.follow(&Request::Watch, |answer| {
        let Answer::Event(happened) = answer else {
            return Err(CommandError::new(Kind::Failure, "the daemon answered something else than an event"));
        };
        if arguments.json { output::json_line(&happened) } else { output::more(&line(&happened, style)) }
    })
}

/// One event for people.
fn line(happened: &Happened, style: Style) -> String {
    let text = match &happened.event {
        Event::Watching => "watching; press Ctrl-C to stop".to_owned(),
        Event::Lost { count } => style.bad(&format!("{count} events were lost: this terminal is too slow for them")),
        Event::PeerUp { key, port, uri, authenticated } => {
            let claimed = if *authenticated { "" } else { ", its key is only claimed" };
            format!("{} {} at port {port}, {uri}{claimed}", style.good("peer up"), key.short())
        }
        Event::PeerDown { key, port, uri, reason } => {
            format!("{} {} at port {port}, {uri}: {reason}", style.bad("peer down"), key.short())
        }
        Event::DialFailed { uri, reason } => format!("{} {uri}: {reason}", style.odd("not reached")),
        Event::RootChanged { root } => format!("{} {root}", style.odd("root")),
        Event::CoordinatesChanged { coordinates: ports } => format!("coordinates {}", coordinates(ports)),
        Event::SessionUp { address, .. } => format!("{} {address}", style.good("session up")),
        Event::SessionDown { address, .. } => format!("session down {address}"),
        Event::Unknown => "something that this version of pineconectl does not know".to_owned(),
    };
    // Some of this text comes from peers.
    let text: String =
        text.chars().map(|letter| if letter.is_control() && letter != '\x1b' { '?' } else { letter }).collect();
    format!("{} {text}\n", clock_time(happened.time))
}

/// Seconds since the epoch as a time of day, UTC.
fn clock_time(time: f64) -> String {
    let seconds = time as u64;
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, (time.fract() * 1e3) as u64)
}

#[cfg(test)]
mod tests {
    use pinecone::keys::PublicKey;

    use super::*;

    fn shown(event: Event) -> String {
        line(&Happened { time: 1_764_132_065.25, event }, Style::plain())
    }

    #[test]
    fn events_are_lines_with_their_time_and_reason() {
        let (key, uri) = (PublicKey([0xab; 32]), "tcp://192.0.2.1:7463".to_owned());
        let down = shown(Event::PeerDown { key, port: 4, uri, reason: "the peer was silent".to_owned() });
        assert!(
            down.starts_with("04:41:05.250Z peer down ")
                && down.ends_with("at port 4, tcp://192.0.2.1:7463: the peer was silent\n"),
            "{down}"
        );
        assert!(shown(Event::Lost { count: 7 }).contains("7 events were lost"));
        assert!(shown(Event::CoordinatesChanged { coordinates: vec![1, 2] }).ends_with("coordinates [1 2]\n"));
    }
}
