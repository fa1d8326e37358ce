//! `pineconectl matrix nudge` and `watch`: Synapse waits longer and longer before it tries a homeserver again that was away, up to hours. On a mesh
//! homeservers are away often and back suddenly. So whoever is set aside is called on every few seconds (a connection to its port, nothing more), and
//! once it answers Synapse is told to try again at once.
//!
//! A connection, and not a ping of the node: a node whose homeserver is still starting must not cost Synapse another failed attempt.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pinecone::addr::Destination;
use pinecone::shell::clock::Clock;
use pinecone::time::{self, Instant};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::args::SynapseOptions;
use super::server_name::{Host, ServerName};
use super::synapse::{MAX_DESTINATIONS, Synapse};
use crate::args::Arguments;
use crate::error::CommandError;
use crate::output::{self, Column};

/// A connection that takes longer would not carry a conversation either.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a homeserver is left alone after Synapse was told of it; doubles each time if it is set aside again, as
/// one is that takes connections and does not answer.
const FIRST_PAUSE: time::Duration = time::Duration::from_secs(5);
const MAX_PAUSE: time::Duration = time::Duration::from_secs(600);

/// How it stands with a homeserver that Synapse has set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Its port takes connections.
    Yes,
    No,
    /// It is none of ours.
    NotOnMesh,
}

/// One pass, told as a table.
pub(crate) async fn nudge(arguments: &Arguments, options: &SynapseOptions) -> Result<(), CommandError> {
    let synapse = Synapse::new(options)?;
    let mut rows = Vec::new();
    for (destination, reach) in call_on(synapse.set_aside().await?).await {
        if reach == Reach::Yes {
            synapse.retry(&destination).await?;
        }
        rows.push((destination, reach));
    }
    if arguments.json {
        let entry = |(destination, reach): &(String, Reach)| json!({"destination": destination, "on_mesh": *reach != Reach::NotOnMesh, "nudged": *reach == Reach::Yes});
        return output::json(&rows.iter().map(entry).collect::<Vec<_>>());
    }
    let row = |(destination, reach): (String, Reach)| {
        let what = match reach {
            Reach::Yes => "can be reached: Synapse tries again",
            Reach::No => "cannot be reached",
            Reach::NotOnMesh => "left alone: not on the mesh",
        };
        vec![destination, what.to_owned()]
    };
    let columns = [Column::Left("HOMESERVER"), Column::Left("STATE")];
    output::text(&output::table(&columns, rows.into_iter().map(row).collect(), "Synapse has set no homeserver aside"))
}

/// Passes without end. What goes wrong on the way is said once and tried again: Synapse may start later, or again.
pub(crate) async fn watch(options: &SynapseOptions, interval: Duration) -> Result<(), CommandError> {
    let synapse = Synapse::new(options)?;
    let (clock, mut watched, mut trouble) = (Clock::new(), Watched::default(), String::new());
    loop {
        match pass(&synapse, &mut watched, &clock).await {
            Ok(()) => trouble.clear(),
            Err(error) if error.message() == trouble => {}
            Err(error) => {
                error.print();
                error.message().clone_into(&mut trouble);
            }
        }
        tokio::time::sleep(interval).await;
    }
}

async fn pass(synapse: &Synapse, watched: &mut Watched, clock: &Clock) -> Result<(), CommandError> {
    let due = watched.due(&synapse.set_aside().await?, clock.now());
    for (destination, reach) in call_on(due).await {
        watched.called_on(&destination, reach, clock.now());
        if reach == Reach::Yes {
            synapse.retry(&destination).await?;
            output::text(&format!("{destination} can be reached again: Synapse tries it now\n"))?;
        }
    }
    Ok(())
}

/// Calls on all of them at a time.
async fn call_on(destinations: Vec<String>) -> Vec<(String, Reach)> {
    let mut calls = JoinSet::new();
    for destination in destinations {
        calls.spawn(async move {
            let reach = tokio::time::timeout(CONNECT_TIMEOUT, reach(&destination)).await.unwrap_or(Reach::No);
            (destination, reach)
        });
    }
    calls.join_all().await
}

async fn reach(destination: &str) -> Reach {
    let Ok(name) = destination.parse::<ServerName>() else { return Reach::NotOnMesh };
    let port = name.port_or_default();
    let addresses: Vec<SocketAddr> = match &name.host {
        Host::Ip(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(host) => {
            tokio::net::lookup_host((host.as_str(), port)).await.map(Iterator::collect).unwrap_or_default()
        }
    };
    let on_mesh = |address: &&SocketAddr| matches!(address.ip(), IpAddr::V6(ip) if Destination::of(ip).is_some());
    let Some(address) = addresses.iter().find(on_mesh) else { return Reach::NotOnMesh };
    if TcpStream::connect(address).await.is_ok() { Reach::Yes } else { Reach::No }
}

/// Those that were set aside, and when each is to be called on.
#[derive(Debug, Default)]
struct Watched(BTreeMap<String, Turn>);

#[derive(Debug)]
struct Turn {
    next: Instant,
    pause: time::Duration,
}

impl Watched {
    /// Whom to call on now, of those that are set aside.
    fn due(&mut self, set_aside: &[String], now: Instant) -> Vec<String> {
        // One that is not set aside any more is remembered for its pause: it may be back here in a second, none the better.
        self.0.retain(|destination, turn| turn.next > now || set_aside.contains(destination));
        for destination in set_aside {
            if self.0.len() < 2 * MAX_DESTINATIONS {
                self.0.entry(destination.clone()).or_insert(Turn { next: now, pause: FIRST_PAUSE });
            }
        }
        set_aside.iter().filter(|one| self.0.get(*one).is_some_and(|turn| turn.next <= now)).cloned().collect()
    }

    /// Takes note of what a call found.
    fn called_on(&mut self, destination: &str, reach: Reach, now: Instant) {
        let Some(turn) = self.0.get_mut(destination) else { return };
        match reach {
            Reach::Yes => {
                turn.next = now + turn.pause;
                turn.pause = (turn.pause * 2).min(MAX_PAUSE);
            }
            Reach::No => *turn = Turn { next: now, pause: FIRST_PAUSE },
            Reach::NotOnMesh => turn.next = now + MAX_PAUSE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn who_is_away_is_called_on_each_time_until_it_answers() {
        let (mut watched, aside) = (Watched::default(), ["a".to_owned()]);
        for second in 0..3 {
            assert_eq!(watched.due(&aside, at(second)), ["a"]);
            watched.called_on("a", Reach::No, at(second));
        }
        watched.called_on("a", Reach::Yes, at(3));
        assert!(watched.due(&aside, at(4)).is_empty());
    }

    #[test]
    fn who_answers_and_fails_again_is_left_alone_for_longer_each_time() {
        let (mut watched, aside) = (Watched::default(), ["a".to_owned()]);
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..4 {
            assert_eq!(watched.due(&aside, at(now)), ["a"]);
            watched.called_on("a", Reach::Yes, at(now));
            // Told to try again, Synapse does not list it for a moment.
            assert!(watched.due(&[], at(now + 1)).is_empty());
            let start = now;
            while watched.due(&aside, at(now)).is_empty() {
                now += 1;
            }
            pauses.push(now - start);
        }
        assert_eq!(pauses, [5, 10, 20, 40]);
        assert!(watched.due(&[], at(now)).is_empty());
        assert!(watched.0.is_empty(), "forgotten when it is well for its pause");
    }

    #[tokio::test]
    async fn others_than_those_on_the_mesh_are_none_of_our_business() {
        for other in ["127.0.0.1:1", "[::1]:1", "not a name"] {
            assert_eq!(reach(other).await, Reach::NotOnMesh, "{other}");
        }
    }
}
