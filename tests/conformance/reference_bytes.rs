//! The daemon meets what reference nodes wrote, and what crashes them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::inspector::{Inspector, Kind};
use crate::recording::{Side, session};
use crate::vectors::{Vectors, hex, text_of};
use crate::wait::{seconds, wait_until};

/// How long the daemon has to close a peering, or has to keep it to be believed. It closes as soon as it reads.
const REACTION: Duration = Duration::from_millis(500);

/// Long enough to read what waits at a socket.
const GLANCE: Duration = Duration::from_millis(10);

/// Sends one side of the recorded session at its recorded times, and inspects the answers.
fn play(side: Side, daemon: &Daemon) -> Inspector {
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    let start = Instant::now();
    let mut inspector = Inspector::new(start);
    for recorded in session().iter().filter(|recorded| recorded.sender == side) {
        listen_until(start + recorded.at, &mut stream, &mut inspector).expect("the daemon keeps the peering");
        stream.write_all(&recorded.bytes).unwrap();
    }
    listen_until(Instant::now() + seconds(1), &mut stream, &mut inspector).expect("the daemon keeps the peering");
    inspector
}

/// Handshake and first announcement of a recorded node.
fn opening(side: Side) -> Vec<u8> {
    session()
        .into_iter()
        .filter(|recorded| recorded.sender == side)
        .take(2)
        .flat_map(|recorded| recorded.bytes)
        .collect()
}

/// Reads what comes until a moment. An error if the other side closes.
fn listen_until(end: Instant, stream: &mut TcpStream, inspector: &mut Inspector) -> Result<(), &'static str> {
    let mut buffer = [0; 4096];
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).unwrap();
        match stream.read(&mut buffer) {
            Ok(0) => return Err("closed"),
            Ok(len) => inspector.feed(&buffer[..len], Instant::now()),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => return Err("reset"),
        }
    }
    Ok(())
}

#[test]
fn a_daemon_follows_the_recorded_root() {
    let daemon = Daemon::start([51; 32], &[]);
    assert!(daemon.key < Side::K30.key(), "the recorded root outranks the daemon");
    let inspector = std::thread::scope(|scope| {
        let playing = scope.spawn(|| play(Side::K30, &daemon));
        wait_until("the daemon is below the recorded root", seconds(5), || {
            daemon.place() == (Side::K30.key(), vec![1])
        });
        playing.join().unwrap()
    });
    assert_eq!(inspector.violations, &[] as &[String]);
    // Twelve seconds: as the recorded K10, it announces itself, then its place (in one announcement if the root's came before
    // the first was written); it sends a broadcast and bootstraps every 5 s at least.
    assert!((1..=2).contains(&inspector.count(Kind::Announcement)));
    assert!(inspector.count(Kind::Bootstrap) >= 2 && inspector.count(Kind::Broadcast) == 1);
}

#[test]
fn a_daemon_keeps_the_recorded_leaf() {
    let daemon = Daemon::start([52; 32], &[]);
    let inspector = play(Side::K10, &daemon);
    assert_eq!(inspector.violations, &[] as &[String]);
    assert!(inspector.count(Kind::Announcement) >= 1 && inspector.count(Kind::Keepalive) >= 2);
}

#[test]
fn malformed_frames_close_their_peering_and_nothing_else() {
    let mut daemon = Daemon::start([53; 32], &[]);
    let mut bystander = TcpStream::connect(daemon.address).unwrap();
    let mut watched = Inspector::new(Instant::now());
    bystander.write_all(&opening(Side::K10)).unwrap();
    for case in Vectors::load("frames").cases("malformed") {
        let (name, frame) = (text_of(&case["name"]), hex(&case["hex"]));
        // The bystander keeps its side up, and reads, so that silence is measured when it happens.
        bystander.write_all(b"pine\0\0\0\0\0\x0a").unwrap();
        listen_until(Instant::now() + GLANCE, &mut bystander, &mut watched).expect("the bystander's peering is kept");
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.write_all(&opening(Side::K30)).unwrap();
        // A frame that claims more than it has is judged when it is whole.
        let claimed = usize::from(u16::from_be_bytes([frame[8], frame[9]]));
        let missing = vec![0; claimed.saturating_sub(frame.len())];
        stream.write_all(&[frame, missing].concat()).unwrap();
        let ends = listen_until(Instant::now() + REACTION, &mut stream, &mut Inspector::new(Instant::now()));
        match text_of(&case["recommended"]) {
            "close" => assert!(ends.is_err(), "{name}: the peering is kept"),
            "ignore" => assert_eq!(ends, Ok(()), "{name}"),
            // The frame is well-formed; some carry nonsense, for which the peering may be closed all the same.
            _ => {}
        }
        assert!(daemon.is_running(), "{name}");
    }
    listen_until(Instant::now() + GLANCE, &mut bystander, &mut watched).expect("the bystander's peering is kept");
    assert_eq!(watched.violations, &[] as &[String]);
}
