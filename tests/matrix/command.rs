//! `pineconectl matrix` against real homeservers.

use std::fs::File;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::line::Line;
use crate::sandbox::in_lab_for;
use crate::venv;
use crate::wait::{eventually, seconds, wait_until};

const SOON: std::time::Duration = seconds(60);

/// Which step failed, and the exit code.
fn failed_step(line: &Line, server: &str, more: &[&str]) -> (Option<i32>, String) {
    let (code, report) = line.ask(0, &[&["matrix", "check", server], more].concat());
    let steps = report["steps"].as_array().unwrap();
    let failed = steps.iter().find(|step| step["outcome"] == "failed").unwrap_or_else(|| panic!("{report}"));
    assert!(failed["advice"].is_string() && report["ok"] == false, "{report}");
    (code, failed["name"].as_str().unwrap().to_owned())
}

#[test]
fn check_finds_out_what_keeps_a_homeserver_from_federating() {
    if !venv::is_there("check_finds_out_what_keeps_a_homeserver_from_federating") {
        return;
    }
    in_lab_for(seconds(240), &[], |lab| {
        let line = Line::build(lab);
        let [carols] = line.synapses([2], &json!({}));
        let (code, report) = line.ask(0, &["matrix", "check", &carols.name]);
        assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)), "{report}");
        let outcomes: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| &step["outcome"]).collect();
        assert_eq!(outcomes, ["ok"; 7], "{report}");

        let address = line.nodes[2].address();
        // Another port than the firewall's; nobody of that name; the middle, where no homeserver runs.
        assert_eq!(failed_step(&line, &format!("[{address}]:8009"), &[]), (Some(5), "connect".to_owned()));
        assert_eq!(failed_step(&line, "https://example.org", &[]), (Some(1), "name".to_owned()));
        let middle = format!("[{}]:8448", line.nodes[1].address());
        assert_eq!(failed_step(&line, &middle, &[]), (Some(5), "connect".to_owned()));
        line.nodes[2].stop(Signal::SIGTERM);
        assert_eq!(failed_step(&line, &carols.name, &["--timeout", "2"]), (Some(5), "mesh".to_owned()));
    });
}

#[test]
fn a_homeserver_that_synapse_set_aside_is_tried_again_as_soon_as_it_is_back() {
    if !venv::is_there("a_homeserver_that_synapse_set_aside_is_tried_again_as_soon_as_it_is_back") {
        return;
    }
    in_lab_for(seconds(300), &[], |lab| {
        let line = Line::build(lab);
        // Gives up after seconds, and for longer than this test lasts.
        let federation = json!({"client_timeout": "2s", "max_long_retries": 1, "max_long_retry_delay": "1s",
                                "destination_min_retry_interval": "10m"});
        let servers = line.synapses([0, 2], &json!({ "federation": federation }));
        let (alice, carol) = (servers[0].register("alice"), servers[1].register("carol"));
        let room = alice.create_room(&json!({ "preset": "public_chat" }));
        carol.join(&room, &alice);
        alice.wait_for_member(&room, &carol, SOON);

        let token = line.nodes[0].directory.join("admin-token");
        std::fs::write(&token, servers[0].administrator()).unwrap();
        let token = token.display().to_string();
        line.nodes[2].stop(Signal::SIGTERM);
        alice.say(&room, "are you there?");
        let nudge = ["matrix", "nudge", "--token-file", &token];
        eventually("Synapse has set the homeserver aside", SOON, || {
            let (code, answer) = line.ask(0, &nudge);
            assert_eq!(code, Some(0), "{answer}");
            let is_it = |entry: &&Value| entry["destination"] == servers[1].name.as_str();
            let entry = answer.as_array().unwrap().iter().find(is_it)?.clone();
            assert_eq!((&entry["on_mesh"], &entry["nudged"]), (&Value::Bool(true), &Value::Bool(false)));
            Some(())
        });
        let log = line.nodes[0].directory.join("watch.log");
        let mut watch = line.ctl(0, &["matrix", "watch", "--interval", "0.5", "--token-file", &token]);
        watch.stdin(Stdio::null()).stdout(File::create(&log).unwrap());
        let mut watch = line.hosts[0].spawn(&mut watch);
        line.nodes[2].spawn();
        line.nodes[2].wait_ready();
        let back = std::time::Instant::now();
        carol.wait_for_message(&room, "are you there?", seconds(90));
        println!("the message is there {:.1} s after its receiver is back", back.elapsed().as_secs_f64());
        wait_until("that is said", SOON, || {
            std::fs::read_to_string(&log).unwrap().contains(&format!("{} can be reached again", servers[1].name))
        });
        watch.kill().unwrap();
        watch.wait().unwrap();
    });
}

#[test]
fn homeservers_named_by_key_find_each_other_through_their_nodes() {
    if !venv::is_there("homeservers_named_by_key_find_each_other_through_their_nodes") {
        return;
    }
    in_lab_for(seconds(240), &[], |lab| {
        // The same on all hosts, as the responder's address is: for this sandbox alone.
        std::fs::write("/run/resolv.conf", "nameserver 6ff::53\noptions timeout:1 attempts:1\n").unwrap();
        let resolv = std::fs::canonicalize("/etc/resolv.conf").unwrap();
        let mounted = Command::new("mount").args(["--bind", "/run/resolv.conf"]).arg(resolv).status().unwrap();
        assert!(mounted.success());
        let line = Line::build(lab);
        let servers = line.synapses_named("key", [0, 2], &json!({}));
        let (alice, carol) = (servers[0].register("alice"), servers[1].register("carol"));
        assert!(carol.id.ends_with(".pinecone.internal:8448"), "{}", carol.id);
        let room = alice.create_room(&json!({ "preset": "private_chat" }));
        alice.invite(&room, &carol);
        carol.wait_for_invite(&room, SOON);
        carol.join(&room, &alice);
        alice.wait_for_member(&room, &carol, SOON);
        for (speaker, listener) in [(&alice, &carol), (&carol, &alice)] {
            speaker.say(&room, "hello by name");
            listener.wait_for("the message arrives", SOON, |seen| {
                seen.iter()
                    .find(|(_, event)| {
                        event["sender"] == speaker.id.as_str() && event["content"]["body"] == "hello by name"
                    })
                    .map(|_| ())
            });
        }
        let (code, report) = line.ask(0, &["matrix", "check", &servers[1].name]);
        let warned = |step: &Value| step["outcome"] != "ok";
        assert!(code == Some(0) && !report["steps"].as_array().unwrap().iter().any(warned), "{report}");
    });
}
