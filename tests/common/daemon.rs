//! One daemon without an interface, which needs no rights, in a directory of its own; and what is asked until it is so.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use pinecone::shell::clock::Clock;

/// No test waits longer for anything.
pub const LIMIT: Duration = Duration::from_secs(20);

/// It ends with the value.
pub struct Daemon {
    directory: tempfile::TempDir,
    process: Child,
    _log: BufReader<ChildStderr>,
}

impl Daemon {
    /// Starts it with these lines of configuration behind the ones that keep it in its directory, where `{dir}` stands for that; it answers when
    /// this returns.
    pub fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        let more = more.replace("{dir}", at);
        let config = format!(
            "node.private_key_file = '{at}/node.key'\ncontrol.socket = '{at}/control.sock'\ntun.name = 'none'\n\
             discovery.enabled = false\n{more}\n"
        );
        let file = directory.path().join("pineconed.toml");
        fs::write(&file, config).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_pineconed"))
            .arg("--config")
            .arg(file)
            .env_remove("PINECONE_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("control socket") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the daemon ended");
        }
        Self { directory, process, _log: log }
    }

    /// A file of its directory.
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Kills it.
    pub fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

/// Asks again and again until there is an answer; what was said instead is in the failure.
#[track_caller]
pub fn eventually<T>(mut ask: impl FnMut() -> Result<T, String>) -> T {
    let clock = Clock::new();
    let start = clock.now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(said) => assert!(!start.has_passed(LIMIT, clock.now()), "not within {LIMIT:?}: {said}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
