//! People at browsers: Hydrogen, a known web client, in headless Chromium; and a call between two of them, without any server for it.

use std::fs::File;
use std::io::Write;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::escape;
use crate::lab::Host;
use crate::line::Line;
use crate::packages;
use crate::sandbox::in_lab_for;
use crate::venv;
use crate::wait::{eventually, seconds};

const SOON: std::time::Duration = seconds(100);
/// Where a host has its pages, on its loopback interface.
const PAGES: &str = "http://localhost:8080";

/// A program on a host, whose output is looked at.
struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    fn start(host: &Host, name: &str, command: &mut Command) -> Self {
        let output = PathBuf::from(format!("/run/lab/{}.{name}", host.name()));
        let log = File::create(&output).expect("/run is ours");
        command.stdin(Stdio::piped()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        Self { child: host.spawn(command), output }
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.output).expect("/run is ours");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn line(&self, n: usize) -> Value {
        eventually("the browser says something", SOON, || self.lines().get(n).cloned())
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().expect("it is a pipe"), "{line}").expect("the program runs");
    }

    fn wait(&mut self) {
        let ended = eventually("the browser is done", SOON, || self.child.try_wait().expect("our own child"));
        assert!(ended.success(), "the browser failed");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("── {}\n{}", self.output.display(), std::fs::read_to_string(&self.output).unwrap_or_default());
        }
    }
}

fn install() {
    let files = ["package.json", "index.html", "main.js", "vite.config.js", "browse.mjs", "call.mjs"];
    packages::install("browser", &files);
    let public = packages::directory("browser").join("public");
    std::fs::create_dir_all(&public).unwrap();
    std::fs::write(public.join("empty.html"), "<!doctype html>").unwrap();
    packages::run("browser", "cp", &["node_modules/hydrogen-view-sdk/lib-build/sw.js", "public/sw.js"]);
    packages::run("browser", "npx", &["vite", "build"]);
}

fn pages(host: &Host) -> Process {
    let mut server = Command::new("python3");
    server.args(["-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory"]);
    server.arg(packages::directory("browser").join("dist"));
    Process::start(host, "pages", &mut server)
}

fn program(name: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(packages::directory("browser").join(name)).current_dir(packages::directory("browser"));
    node
}

#[test]
#[ignore = "needs Chromium, Node and packages of npm: .ci/matrix --browsers"]
fn somebody_at_a_browser_joins_over_federation_writes_and_reads_the_answer() {
    if !venv::is_there("somebody_at_a_browser_joins_over_federation_writes_and_reads_the_answer") {
        return;
    }
    install();
    in_lab_for(seconds(300), &["node", "chromium", "python3"], |lab| {
        let line = Line::build(lab);
        let servers = line.synapses([0, 2], &json!({}));
        let (alice, carol) = (servers[0].register("alice"), servers[1].register("carol"));
        let room = alice.create_room(&json!({
            "preset": "public_chat", "room_alias_name": "mesh", "name": "Across the mesh", "topic": "Two homeservers, two hops",
        }));
        alice.say(&room, "Hello Carol, this room is on my homeserver, and you are at yours.");
        let _pages = pages(&line.hosts[2]);
        let alias = escape(&format!("#mesh:{}", servers[0].name));
        let picture = packages::directory("browser").join("screenshot.png");
        let mut browse = program("browse.mjs");
        browse.arg(format!("{PAGES}/?user=carol&password=correct%20horse%20battery&alias={alias}"));
        browse.args(["Hello Carol", "Hello Alice, I am typing this into Hydrogen.", "I can read it"]).arg(&picture);
        let mut browser = Process::start(&line.hosts[2], "browser", &mut browse);
        alice.wait_for_member(&room, &carol, SOON);
        alice.wait_for_message(&room, "Hello Alice, I am typing this into Hydrogen.", SOON);
        alice.say(&room, "I can read it. There is one node between us.");
        browser.wait();
        println!("screenshot: {}", picture.display());
    });
}

#[test]
#[ignore = "needs Chromium, Node and packages of npm: .ci/matrix --browsers"]
fn two_browsers_call_each_other_over_the_mesh() {
    install();
    in_lab_for(seconds(300), &["node", "chromium", "python3"], |lab| {
        let line = Line::build_with(lab, "\"open\"");
        let _pages = [pages(&line.hosts[0]), pages(&line.hosts[2])];
        let mut caller = Process::start(&line.hosts[0], "caller", program("call.mjs").arg("caller"));
        let mut callee = Process::start(&line.hosts[2], "callee", program("call.mjs").arg("callee"));
        callee.tell(&caller.line(0).to_string());
        caller.tell(&callee.line(0).to_string());
        for (end, own, other) in [(&caller, 0, 2), (&callee, 2, 0)] {
            let result = end.line(1);
            assert!(result["frames"].as_u64().is_some_and(|frames| frames >= 100), "{result}");
            for (field, node) in [("local", own), ("remote", other)] {
                let address = result[field].as_str().map(|text| text.parse::<Ipv6Addr>());
                assert!(address.is_none_or(|address| address == Ok(line.nodes[node].address())), "{field}: {result}");
            }
            println!("FIGURE | call | {result}");
        }
        caller.tell("done");
        callee.tell("done");
    });
}
