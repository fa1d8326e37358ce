//! A slow cable: a peering's TCP connection goes through a relay of this test, which holds all bytes back for a while and can be cut.
//!
//! The kernel of the test machines has no `netem`, so the delay is made here: whatever comes out of one socket goes into the other so much later, in
//! both directions. Cut, it closes what goes through it, so both daemons know at once, and takes nothing new until it is mended.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lab::Host;

/// A relay on one host, through which its daemon dials another one.
pub(crate) struct Delay {
    /// What the daemon on the host is to dial.
    pub(crate) uri: String,
    shared: Arc<Shared>,
}

struct Shared {
    host: Host,
    to: SocketAddr,
    delay: Duration,
    is_cut: AtomicBool,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Delay {
    /// A relay on `host`, of `delay` in each direction, to where another daemon listens.
    pub(crate) fn new(host: &Host, to: SocketAddr, delay: Duration) -> Self {
        let listener = host.within(|| TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let uri = format!("tcp://{}", listener.local_addr().expect("a bound socket"));
        let (is_cut, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { host: host.clone(), to, delay, is_cut, ended, streams: Mutex::default() });
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.ended.load(Ordering::SeqCst) {
                    return;
                }
                theirs.accept(stream);
            }
        });
        Self { uri, shared }
    }

    /// Closes what goes through it, and lets nothing new through.
    pub(crate) fn cut(&self) {
        self.shared.is_cut.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub(crate) fn mend(&self) {
        self.shared.is_cut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.cut();
        self.shared.ended.store(true, Ordering::SeqCst);
        let address = self.uri.trim_start_matches("tcp://").to_owned();
        // Wakes the accepting thread.
        let _ = self.shared.host.within(|| TcpStream::connect(address));
    }
}

impl Shared {
    fn accept(&self, near: TcpStream) {
        if self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(far) = self.host.within(|| TcpStream::connect_timeout(&self.to, Duration::from_secs(5))) else { return };
        let pairs = [(&near, &far), (&far, &near)];
        for (from, to) in pairs {
            let _ = from.set_nodelay(true);
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
            carry(from, to, self.delay);
        }
        let mut streams = self.streams.lock().expect("nobody panics with it");
        streams.extend([near, far]);
    }
}

/// Moves bytes from one stream to the other, so much later.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + delay, buffer[..len].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            // Not a wait for something to happen: the length of the cable.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
