use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};

use socket2::{Domain, SockAddr, Socket, Type};

use super::*;
use crate::control::Answer;
use crate::keys::PublicKey;

/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// A daemon that answers `sessions` with nothing, forgets `lookup` requests, and says of the rest that they are not there.
struct Daemon {
    directory: tempfile::TempDir,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    watchers: Watchers,
}

impl Daemon {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/pineconed.sock");
        let (stop, stopped) = oneshot::channel();
        let (bound_to, bound) = std::sync::mpsc::channel();
        let watchers = watchers();
        let to_serve = watchers.clone();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async move {
                let socket = ControlSocket::bind(&path, None).unwrap();
                bound_to.send(()).unwrap();
                let (calls_to, mut calls) = mpsc::channel::<Call>(1);
                let core = async move {
                    while let Some((request, reply_to)) = calls.recv().await {
                        let _ = match request {
                            Request::Sessions => reply_to.send(Ok(Answer::Sessions(Vec::new()))),
                            Request::Lookup { .. } => Ok(()),
                            _ => reply_to.send(Err(Failure::new(FailureKind::NotThere, "nothing here"))),
                        };
                    }
                };
                tokio::select! {
                    () = socket.serve(calls_to, to_serve) => {}
                    () = core => {}
                    _ = stopped => {}
                }
            });
        });
        bound.recv_timeout(LIMIT).unwrap();
        Self { directory, thread: Some(thread), stop: Some(stop), watchers }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("run/pineconed.sock")
    }

    fn connect(&self) -> Client {
        let stream = StdStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        Client(BufReader::new(stream))
    }

    fn stop(&mut self) {
        self.stop.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

struct Client(BufReader<StdStream>);

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next line; empty at the end of the connection.
    fn receive(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line.as_bytes());
        self.receive()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn bind(path: &Path) -> Result<ControlSocket, ControlSocketError> {
    let runtime = runtime();
    let _inside = runtime.enter();
    ControlSocket::bind(path, None)
}

const SESSIONS: &str = "{\"version\":1,\"command\":\"sessions\"}\n";
const SESSIONS_ANSWER: &str = "{\"version\":1,\"ok\":[]}\n";

#[test]
fn a_connection_carries_one_answer_per_request_in_order() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    assert_eq!(client.ask(SESSIONS), SESSIONS_ANSWER);
    assert!(client.ask("{\"version\":1,\"command\":\"tree\"}\n").contains("nothing here"));
    client.send(format!("{SESSIONS}nonsense\n{SESSIONS}").as_bytes());
    assert_eq!(client.receive(), SESSIONS_ANSWER);
    assert!(client.receive().contains("\"bad_request\""));
    assert_eq!(client.receive(), SESSIONS_ANSWER);
}

#[test]
fn a_client_may_close_its_side_before_the_answer() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send(SESSIONS.as_bytes());
    client.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.receive(), SESSIONS_ANSWER);
    assert_eq!(client.receive(), "");
}

#[test]
fn an_endless_line_is_refused_and_ends_the_connection() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    // The daemon may close while we write; what counts is what it said.
    let _ = client.0.get_mut().write_all(&vec![b'x'; MAX_REQUEST_LEN + 1]);
    assert!(client.receive().contains("\"too_large\""));
    assert!(matches!(client.0.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(daemon.connect().ask(SESSIONS), SESSIONS_ANSWER);
}

#[test]
fn bytes_that_are_not_text_end_only_their_connection() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.send(b"\xff\xfe\n");
    assert!(matches!(client.0.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(daemon.connect().ask(SESSIONS), SESSIONS_ANSWER);
}

#[test]
fn a_request_that_the_core_lets_go_of_is_answered_all_the_same() {
    let daemon = Daemon::start();
    let answer = daemon.connect().ask("{\"version\":1,\"command\":\"lookup\",\"target\":\"600::1\"}\n");
    assert!(answer.contains("\"stopping\""), "{answer}");
}

#[test]
fn clients_that_hang_hold_up_nobody_until_there_are_too_many_of_them() {
    let daemon = Daemon::start();
    let mut hanging: Vec<Client> = (1..MAX_CLIENTS).map(|_| daemon.connect()).collect();
    for client in &mut hanging {
        client.send(b"{\"version\":1,");
    }
    assert_eq!(daemon.connect().ask(SESSIONS), SESSIONS_ANSWER);
    // The last client's place may not be free yet; fill what is left, then one more is turned away with a reason.
    let mut crowd: Vec<Client> = (0..3).map(|_| daemon.connect()).collect();
    assert!(crowd[2].receive().contains("\"busy\""));
    hanging.clear();
    crowd.clear();
    let deadline = std::time::Duration::from_secs(20);
    let served = wait_until(deadline, || daemon.connect().ask(SESSIONS) == SESSIONS_ANSWER);
    assert!(served, "places of clients that went are free again");
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
    let mut daemon = Daemon::start();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&daemon.path()), 0o660);
    assert_eq!(mode(daemon.path().parent().unwrap()) & 0o700, 0o700);
    daemon.stop();
    assert_eq!(fs::read_dir(daemon.path().parent().unwrap()).unwrap().count(), 0);
}

#[test]
fn a_second_daemon_does_not_take_the_socket_over() {
    let daemon = Daemon::start();
    let error = bind(&daemon.path()).unwrap_err();
    assert!(matches!(&error, ControlSocketError::AlreadyRunning(path) if *path == daemon.path()), "{error}");
    assert_eq!(probe(&daemon.path(), None).unwrap(), Probe::Running);
    assert_eq!(daemon.connect().ask(SESSIONS), SESSIONS_ANSWER);
}

#[test]
fn a_socket_that_somebody_answers_on_without_our_lock_is_left_to_him() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let _other = StdListener::bind(&path).unwrap();
    assert!(matches!(bind(&path), Err(ControlSocketError::AlreadyRunning(_))));
}

#[test]
fn a_daemon_that_hangs_with_a_full_backlog_still_has_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let hanging = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    hanging.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    hanging.listen(0).unwrap();
    let _queued = StdStream::connect(&path).unwrap();
    assert_eq!(probe(&path, None).unwrap(), Probe::Running);
    assert!(matches!(bind(&path), Err(ControlSocketError::AlreadyRunning(_))));
}

#[test]
fn a_socket_that_nobody_answers_on_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    assert_eq!(probe(&path, None).unwrap(), Probe::Free);
    let socket = bind(&path).unwrap();
    assert!(StdStream::connect(&path).is_ok());
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_file_that_took_the_socket_s_place_is_not_removed_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let socket = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "other").unwrap();
    drop(socket);
    assert_eq!(fs::read(&path).unwrap(), b"other");
}

#[test]
fn what_is_not_a_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "precious").unwrap();
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        assert!(matches!(bind(path), Err(ControlSocketError::NotASocket(_))));
        assert!(matches!(probe(path, None), Err(ControlSocketError::NotASocket(_))));
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn of_daemons_that_start_together_over_a_stale_socket_one_gets_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    drop(StdListener::bind(&path).unwrap());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&path))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert!(StdStream::connect(&path).is_ok());
}

#[test]
fn an_unknown_group_is_said_to_be_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = probe(&directory.path().join("sock"), Some("no-such-group-here")).unwrap_err().to_string();
    assert!(error.contains("no group no-such-group-here") && error.contains("groupadd"), "{error}");
}

/// Asks again and again until it is so or the time is up.
fn wait_until(limit: std::time::Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let clock = crate::shell::clock::Clock::new();
    let start = clock.now();
    while clock.now().saturating_since(start) < limit {
        if is_so() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

const WATCH: &str = "{\"version\":1,\"command\":\"watch\"}\n";

fn session_up(n: u8) -> Arc<Happened> {
    let event = Event::SessionUp { key: PublicKey([n; 32]), address: "600::1".to_owned() };
    Arc::new(Happened { time: f64::from(n), event })
}

#[test]
fn who_watches_is_told_what_happens_from_then_on_in_order() {
    let daemon = Daemon::start();
    let mut clients = [daemon.connect(), daemon.connect()];
    for client in &mut clients {
        assert!(client.ask(WATCH).contains("\"event\":\"watching\""));
    }
    for n in 1..4 {
        daemon.watchers.send(session_up(n)).unwrap();
    }
    for client in &mut clients {
        for n in 1..4 {
            let line = client.receive();
            assert!(line.contains(&format!("\"ok\":{{\"time\":{n}.0,\"event\":\"session_up\"")), "{line}");
        }
    }
    assert_eq!(daemon.connect().ask(SESSIONS), SESSIONS_ANSWER);
}

#[test]
fn who_reads_too_slowly_loses_events_and_is_told_how_many() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.ask(WATCH);
    // More than the connection and the queue hold together.
    let sent = 40_000;
    for n in 0..sent {
        daemon.watchers.send(session_up((n % 250) as u8)).unwrap();
    }
    let (mut told, mut lost) = (0, 0);
    while told + lost < sent {
        let line = client.receive();
        let document: serde_json::Value = serde_json::from_str(&line).unwrap();
        match document["ok"]["event"].as_str().unwrap() {
            "lost" => lost += document["ok"]["count"].as_u64().unwrap(),
            _ => told += 1,
        }
    }
    assert_eq!(told + lost, sent);
    assert!(lost > 0, "nothing was lost");
}

#[test]
fn a_watcher_that_goes_or_says_something_else_is_forgotten() {
    let daemon = Daemon::start();
    let mut client = daemon.connect();
    client.ask(WATCH);
    assert_eq!(daemon.watchers.receiver_count(), 1);
    client.send(SESSIONS.as_bytes());
    assert_eq!(client.receive(), "");
    let mut client = daemon.connect();
    client.ask(WATCH);
    drop(client);
    let (clock, start) = (Clock::new(), Clock::new().now());
    while daemon.watchers.receiver_count() > 0 {
        assert!(!start.has_passed(LIMIT, clock.now()), "still there");
        std::thread::yield_now();
    }
}
