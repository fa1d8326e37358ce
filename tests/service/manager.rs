//! A service manager with one service, in a directory of its own.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// One daemon, and what it told.
pub(crate) struct Service {
    directory: tempfile::TempDir,
    notify: UnixDatagram,
    child: Child,
}

/// A configuration that has everything in its own directory, and neither an interface nor discovery.
pub(crate) fn config(directory: &str, more: &str) -> String {
    format!(
        "node.private_key_file = '{directory}/node.key'\ncontrol.socket = '{directory}/control.sock'\ntun.name = 'none'\n\
         discovery.enabled = false\n{more}\n"
    )
}

/// A TCP port that nobody listens on. Each is given out once, as tests run side by side.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Service {
    /// Starts it with these lines in its configuration; does not wait until it is ready.
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with(more, &[])
    }

    pub(crate) fn start_with(more: &str, environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        let text = config(directory.path().to_str().unwrap(), more);
        fs::write(directory.path().join("pineconed.toml"), text).unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pineconed"));
        command.arg("--config").arg(directory.path().join("pineconed.toml"));
        for name in ["PINECONE_LOG", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command.env("NOTIFY_SOCKET", directory.path().join("notify")).envs(environment.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { directory, notify, child }
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn ready(more: &str) -> Self {
        let mut service = Self::start(more);
        service.hears("READY=1");
        service
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Another configuration, with these lines. Replaced as editors do it: under the same name, another file.
    pub(crate) fn configure(&self, more: &str) {
        let text = config(self.directory.path().to_str().unwrap(), more);
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path("pineconed.toml")).unwrap();
    }

    /// The next message.
    pub(crate) fn message(&mut self, limit: Duration) -> Option<String> {
        self.notify.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 4096];
        let len = self.notify.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
    }

    /// Waits for a message that begins like this; returns it and all that came before.
    #[track_caller]
    pub(crate) fn hears(&mut self, beginning: &str) -> Vec<String> {
        let start = Instant::now();
        let mut all = Vec::new();
        while start.elapsed() < LIMIT {
            assert!(self.is_running() || beginning == "STOPPING=1", "it ended: {}", self.log());
            let Some(message) = self.message(Duration::from_millis(200)) else { continue };
            let found = message.starts_with(beginning);
            all.push(message);
            if found {
                return all;
            }
        }
        panic!("no {beginning}, but {all:?}; the log: {}", self.log());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        eventually("it ends", || self.child.try_wait().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Runs `pineconectl` on it.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pineconectl"));
        command.args(arguments).arg("--socket").arg(self.path("control.sock")).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What `pineconectl ARGUMENTS --json` prints; it must succeed.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.ctl(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}{}", stderr(&output), self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A field of its status in /proc, of every thread.
    pub(crate) fn proc_status(&self, field: &str) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let of_task = |task: fs::DirEntry| {
            let text = fs::read_to_string(task.path().join("status")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
            line.trim().to_owned()
        };
        tasks.map(|task| of_task(task.unwrap())).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("── log\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
