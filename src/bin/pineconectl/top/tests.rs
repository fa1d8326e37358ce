use std::io::Read;

use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::tcgetattr;
use pinecone::control::{Peers, WaitingPeer};
use pinecone::keys::PublicKey;
use pinecone::node::status::{PeerStatus, SessionStatus, Status};
use pinecone::time::Instant;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;

fn sample(seconds: u64, bytes: u64) -> Sample {
    let key = PublicKey([0xab; 32]);
    let address = "600:aeb5:3003:562:156f:aa97:fda7:92c8".to_owned();
    let status = serde_json::json!({
        "public_key": PublicKey([0xcd; 32]), "address": address, "subnet": "700::/64", "coordinates": [3, 1], "root": key,
        "root_sequence": 7, "peers": 1, "sessions": 1, "snake_routes": 5, "uptime_seconds": 3700.5, "version": "0.1.0",
        "packets_delivered": 10, "packets_sent": 11, "frames_forwarded": 12, "drops": { "queue_full": bytes / 1000 },
    });
    let status: Status = serde_json::from_value(status).unwrap();
    let peer = PeerStatus {
        port: 4,
        key,
        address: address.clone(),
        uri: "tcp://192.0.2.1:7463\x1b[2J".to_owned(),
        inbound: false,
        authenticated: true,
        uptime_seconds: 61.0,
        coordinates: Some(vec![3]),
        root: None,
        parent: true,
        received_bytes: bytes,
        sent_bytes: 2 * bytes,
        queued_bytes: 0,
        queue_drops: 0,
        round_trip_seconds: Some(0.0125),
        priority: 0,
        carries: true,
        transit: Default::default(),
        max_rate: None,
    };
    let session = SessionStatus {
        key,
        address,
        state: "established".to_owned(),
        cipher: None,
        key_age_seconds: None,
        last_received_seconds: Some(2.0),
        coordinates: None,
        routed_by: "tree".to_owned(),
        mtu: None,
        received_bytes: 3 * bytes,
        sent_bytes: 4 * bytes,
    };
    let waiting = WaitingPeer {
        uri: "tls://192.0.2.9:7464".to_owned(),
        failures: 3,
        last_error: Some("Connection refused".to_owned()),
        next_attempt_seconds: Some(1.0),
    };
    let peers = Peers { peers: vec![peer], waiting: vec![waiting] };
    Sample { at: Instant::ZERO + Duration::from_secs(seconds), status, peers, sessions: vec![session] }
}

/// What the terminal shows, line by line.
fn shown(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw::frame(frame, model)).unwrap();
    terminal.backend().to_string()
}

fn after_two_seconds() -> Model {
    let mut model = Model::new(sample(0, 0), true);
    model.next(sample(2, 250_000));
    model
}

#[test]
fn everything_fits_a_terminal_of_80_columns_and_24_lines() {
    let text = shown(&after_two_seconds(), 80, 24);
    for words in [
        "600:aeb5:3003:562:156f:aa97:fda7:92c8   up 1 h 1 min",
        "coordinates [3 1]",
        "peers 1   sessions 1   version 0.1.0",
        "in 1.0 Mb/s   out 2.0 Mb/s",
        "drops 125.0/s, most of them queue_full",
        "PORT PEER",
        "[3]          1.0 Mb/s  2.0 Mb/s  12.5 ms  1 min 1 s",
        "   - tls://192.0.2.9:7464: Connection refused",
        "established tree  3.0 Mb/s  4.0 Mb/s  2 s",
        "q quit",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
        shown(&after_two_seconds(), width, height);
    }
}

#[test]
fn rates_need_two_answers_and_the_same_peering() {
    let mut model = Model::new(sample(0, 1_000), false);
    assert_eq!(model.total().received, 0.0);
    let mut next = sample(1, 9_000);
    next.peers.peers[0].key = PublicKey([0x11; 32]);
    model.next(next);
    assert_eq!((model.total().received, model.sessions()[0].1.received), (0.0, 24_000.0));
    // A session that started over counts from zero.
    model.next(sample(2, 10));
    assert_eq!(model.sessions()[0].1.received, 0.0);
}

#[test]
fn q_escape_and_control_c_end_it_and_other_keys_move_tables() {
    let mut model = after_two_seconds();
    let key = |code| KeyEvent::new(code, KeyModifiers::NONE);
    assert!(!handle(&mut model, key(KeyCode::Char('q'))) && !handle(&mut model, key(KeyCode::Esc)));
    assert!(!handle(&mut model, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    for _ in 0..5 {
        assert!(handle(&mut model, key(KeyCode::Down)));
    }
    // One peer and one that is not connected.
    assert_eq!(model.top, (1, 0));
    handle(&mut model, key(KeyCode::Up));
    handle(&mut model, key(KeyCode::Tab));
    handle(&mut model, key(KeyCode::PageDown));
    assert_eq!((model.top, model.focus), ((0, 0), model::Focus::Sessions));
}

/// Run by the test below, in a process of its own on a terminal of its own.
#[test]
#[ignore = "it panics"]
fn a_panic_on_the_screen() {
    let _screen = Screen::take().unwrap();
    panic!("seen by whoever is there");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let OpenptyResult { master, slave } = openpty(None, None).unwrap();
    let before = tcgetattr(&slave).unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "top::tests::a_panic_on_the_screen", "--ignored", "--nocapture"]);
    command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave.try_clone().unwrap());
    let mut program = command.spawn().unwrap();
    drop(command);
    let mut master = std::fs::File::from(master);
    let reader = std::thread::spawn(move || {
        let (mut printed, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(len @ 1..) = master.read(&mut chunk) {
            printed.extend(&chunk[..len]);
        }
        String::from_utf8_lossy(&printed).into_owned()
    });
    assert!(!program.wait().unwrap().success());
    let is_restored = tcgetattr(&slave).unwrap() == before;
    drop(slave);
    let printed = reader.join().unwrap();
    assert!(is_restored, "{printed}");
    let (_, on_screen) = printed.split_once("\x1b[?1049h").unwrap();
    let (before_the_end, after) = on_screen.split_once("\x1b[?1049l").unwrap();
    assert!(!before_the_end.contains("seen by") && after.contains("seen by whoever is there"), "{printed}");
}
