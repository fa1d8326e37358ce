//! One homeserver: its settings, its process, its accounts.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use data_encoding::BASE64_NOPAD;
use serde_json::{Value, json};

use crate::http::{Request, ask};
use crate::lab::Host;
use crate::program;
use crate::user::User;
use crate::venv;
use crate::wait::{eventually, seconds};

/// Lines of a failed test's logs that are printed.
const LOG_LINES: usize = 40;
/// With this one may make any account.
const SECRET: &str = "a test's secret";

/// A running homeserver.
pub(crate) struct Homeserver {
    pub(crate) host: Host,
    /// Its server name: what stands behind the colon of its users' ids.
    pub(crate) name: String,
    directory: PathBuf,
    child: RefCell<Child>,
}

impl Homeserver {
    /// Starts Synapse on `host`. It is called `name` in the file `init` that `pineconectl matrix init` wrote; `settings` are above that.
    pub(crate) fn synapse(host: &Host, name: &str, init: &Path, settings: &Value) -> Self {
        let directory = PathBuf::from(format!("/run/lab/{}-synapse", host.name()));
        std::fs::create_dir_all(&directory).expect("/run is ours");
        // JSON is YAML.
        let write = |file: &str, config: &Value| {
            let path = directory.join(file);
            std::fs::write(&path, config.to_string()).expect("/run is ours");
            path
        };
        let mut command = Command::new(venv::program("python"));
        command.args(["-m", "synapse.app.homeserver"]);
        let base = write("homeserver.yaml", &synapse_config(&directory, host.name()));
        for file in [base.as_path(), init, &write("more.yaml", settings)] {
            command.arg("--config-path").arg(file);
        }
        Self::start(host, name, directory, command)
    }

    /// Starts Dendrite on `host` with what `pineconectl matrix init` wrote into `init`, where its certificate is too.
    pub(crate) fn dendrite(host: &Host, name: &str, init: &Path) -> Self {
        let directory = PathBuf::from(format!("/run/lab/{}-dendrite", host.name()));
        std::fs::create_dir_all(&directory).expect("/run is ours");
        let must = |command: &mut Command| {
            let output = command.output().expect("it starts");
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let path = |file: &str| directory.join(file);
        let mut generate = Command::new(program::homeserver_path("generate-config"));
        std::fs::write(path("base.yaml"), must(generate.args(["-ci", "-dir"]).arg(&directory))).expect("/run is ours");
        // As a person would: the lines of one file into the sections of the other.
        let script = "import sys, yaml\nbase, more = (yaml.safe_load(open(name)) for name in sys.argv[1:3])\n\
                      for section, lines in more.items(): base[section].update(lines)\n\
                      base['logging'] = [{'type': 'std', 'level': 'warn'}]\nyaml.safe_dump(base, open(sys.argv[3], 'w'))";
        let mut merge = Command::new(venv::program("python"));
        must(merge.args(["-c", script]).args([path("base.yaml"), init.join("dendrite.yaml"), path("dendrite.yaml")]));
        must(Command::new(program::homeserver_path("generate-keys")).arg("-private-key").arg(path("matrix_key.pem")));
        let mut command = Command::new(program::homeserver_path("dendrite"));
        command.args(["-really-enable-open-registration", "-config"]).arg(path("dendrite.yaml"));
        command.args(["-http-bind-address", "127.0.0.1:8008", "-https-bind-address", ":8448"]);
        command.arg("-tls-cert").arg(init.join("tls.crt")).arg("-tls-key").arg(init.join("tls.key"));
        Self::start(host, name, directory, command)
    }

    fn start(host: &Host, name: &str, directory: PathBuf, mut command: Command) -> Self {
        let log = File::create(directory.join("log")).expect("/run is ours");
        command
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log);
        let child = RefCell::new(host.spawn(&mut command));
        Self { host: host.clone(), name: name.to_owned(), directory, child }
    }

    /// Waits until it answers clients.
    pub(crate) fn wait_ready(&self) {
        eventually(&format!("the homeserver on {} answers", self.host.name()), seconds(90), || {
            let ended = self.child.borrow_mut().try_wait().expect("our own child");
            assert!(ended.is_none(), "the homeserver on {} ended at its start", self.host.name());
            self.ask("GET", "/_matrix/client/versions", &Value::Null).filter(|(status, _)| *status == 200)
        });
    }

    /// Makes an account.
    pub(crate) fn register(&self, name: &str) -> User<'_> {
        let body = json!({"username": name, "password": "correct horse battery", "auth": {"type": "m.login.dummy"}});
        let (status, answer) = self.ask("POST", "/_matrix/client/v3/register", &body).expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let text = |field: &str| answer[field].as_str().expect("a string").to_owned();
        User::new(self, text("user_id"), text("access_token"))
    }

    /// Makes an administrator of a Synapse, as its manual says. Returns their access token.
    pub(crate) fn administrator(&self) -> String {
        let mut command = Command::new(venv::program("register_new_matrix_user"));
        command.args(["-u", "admin", "-p", "battery horse", "-a", "-k", SECRET, "http://127.0.0.1:8008"]);
        let made = self.host.within(|| command.output()).expect("it starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let user = json!({"type": "m.id.user", "user": "admin"});
        let body = json!({"type": "m.login.password", "identifier": user, "password": "battery horse"});
        let (status, answer) = self.ask("POST", "/_matrix/client/v3/login", &body).expect("an answer");
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let content_type = "application/json";
        let request = Request { method, path, token: "", content_type, body: body.as_bytes() };
        let (status, answer) = ask(&self.host, &request, seconds(30))?;
        Some((status, serde_json::from_slice(&answer).ok()?))
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            println!("── log of the homeserver on {}", self.host.name());
            let text = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES)..].iter().for_each(|line| println!("{line}"));
        }
    }
}

/// What a Synapse needs that has nothing to do with the mesh: files, accounts without questions, and no limits on how fast a test talks.
fn synapse_config(directory: &Path, host: &str) -> Value {
    let mut seed = [0; 32];
    host.bytes().zip(&mut seed).for_each(|(byte, place)| *place = byte);
    std::fs::write(directory.join("signing.key"), format!("ed25519 a_test {}\n", BASE64_NOPAD.encode(&seed))).unwrap();
    let log = json!({
        "version": 1, "disable_existing_loggers": false,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": "WARNING", "handlers": ["console"]},
    });
    std::fs::write(directory.join("log.yaml"), log.to_string()).unwrap();
    let path = |file: &str| directory.join(file).display().to_string();
    let fast = json!({"per_second": 1000, "burst_count": 1000});
    json!({
        "database": {"name": "sqlite3", "args": {"database": path("homeserver.db")}},
        "media_store_path": path("media"), "signing_key_path": path("signing.key"), "pid_file": path("pid"),
        "log_config": path("log.yaml"), "report_stats": false,
        "registration_shared_secret": SECRET, "macaroon_secret_key": SECRET, "form_secret": SECRET,
        "enable_registration": true, "enable_registration_without_verification": true,
        "rc_message": fast, "rc_registration": fast, "rc_room_creation": fast, "rc_invites": {"per_room": fast, "per_user": fast, "per_issuer": fast},
        "rc_joins": {"local": fast, "remote": fast}, "rc_login": {"address": fast, "account": fast},
        "rc_federation": {"sleep_limit": 1000, "reject_limit": 1000, "concurrent": 100},
    })
}
