//! Three people on three homeservers, of which the outer two meet only through the middle one's node.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::lab::Cut;
use crate::line::Line;
use crate::sandbox::in_lab_for;
use crate::user::User;
use crate::venv;
use crate::wait::{eventually, seconds};

/// For what should take a second; two busy cores run three homeservers.
const SOON: std::time::Duration = seconds(60);

#[test]
fn people_on_three_stock_synapses_share_a_room_through_outages_and_moves() {
    if !venv::is_there("people_on_three_stock_synapses_share_a_room_through_outages_and_moves") {
        return;
    }
    in_lab_for(seconds(420), &[], |lab| {
        let line = Line::build(lab);
        let servers = line.synapses([0, 1, 2], &json!({}));
        let [alice, bob, carol] = [(0, "alice"), (1, "bob"), (2, "carol")].map(|(n, name)| servers[n].register(name));
        let room = alice.create_room(&json!({ "preset": "private_chat", "name": "across the mesh" }));
        everybody_joins(&room, &[&alice, &bob, &carol]);
        everybody_hears_everybody(&room, &[&alice, &bob, &carol]);
        pictures_arrive(&room, &alice, &carol);
        receipts_and_typing_arrive(&room, &alice, &carol);
        an_outage_loses_nothing(&line, &room, &alice, &carol);
        moving_loses_nothing(&line, &room, &alice, &carol);
        let forwarded = line.nodes[1].ctl("status")["frames_forwarded"].as_u64().unwrap();
        assert!(forwarded > 100, "only {forwarded} frames went through the middle");
    });
}

/// The first, who made the room, invites the others; in the end all see all in it.
pub(crate) fn everybody_joins(room: &str, people: &[&User<'_>]) {
    let (host, guests) = people.split_first().unwrap();
    for guest in guests {
        host.invite(room, guest);
        guest.wait_for_invite(room, SOON);
        guest.join(room, host);
    }
    for one in people {
        people.iter().for_each(|other| one.wait_for_member(room, other, SOON));
    }
}

pub(crate) fn everybody_hears_everybody(room: &str, people: &[&User<'_>]) {
    for speaker in people {
        let text = format!("hello from {}", speaker.id);
        speaker.say(room, &text);
        people.iter().for_each(|listener| {
            let event = listener.wait_for_message(room, &text, SOON);
            assert_eq!(event["sender"], speaker.id.as_str());
        });
    }
}

fn pictures_arrive(room: &str, alice: &User<'_>, carol: &User<'_>) {
    for (sender, receiver) in [(alice, carol), (carol, alice)] {
        let picture = picture();
        let address = sender.upload("image/png", &picture);
        let text = format!("a picture of {}", sender.id);
        sender.send(room, &json!({ "msgtype": "m.image", "body": text, "url": address }));
        let event = receiver.wait_for_message(room, &text, SOON);
        let address = event["content"]["url"].as_str().unwrap();
        let received = eventually("the picture can be loaded", SOON, || receiver.download(address));
        assert!(received == picture, "{} bytes arrived of a picture of {}", received.len(), picture.len());
    }
}

/// A real PNG that no compression makes small, from the library that Synapse itself makes thumbnails with.
fn picture() -> Vec<u8> {
    let file = Path::new("/run/lab/picture.png");
    let script = "import sys; from PIL import Image; Image.effect_noise((700, 600), 80).save(sys.argv[1])";
    let made = Command::new(venv::program("python")).args(["-c", script]).arg(file).status().unwrap();
    assert!(made.success());
    let bytes = std::fs::read(file).unwrap();
    assert!(bytes.len() > 300_000, "{} bytes", bytes.len());
    bytes
}

pub(crate) fn receipts_and_typing_arrive(room: &str, alice: &User<'_>, carol: &User<'_>) {
    for (reader, writer) in [(alice, carol), (carol, alice)] {
        let text = format!("read this, {}", reader.id);
        let event = writer.say(room, &text);
        reader.wait_for_message(room, &text, SOON);
        reader.mark_read(room, &event);
        writer.wait_for("the receipt arrives", SOON, |seen| {
            let is_it = |(place, ephemeral): &&(String, Value)| {
                place == room && ephemeral["content"][&event]["m.read"][&reader.id].is_object()
            };
            seen.iter().find(is_it).map(|_| ())
        });
        reader.type_in(room, true);
        writer.wait_for("somebody is seen typing", SOON, |seen| {
            let is_it = |(place, ephemeral): &&(String, Value)| {
                let users = ephemeral["content"]["user_ids"].as_array();
                place == room
                    && ephemeral["type"] == "m.typing"
                    && users.is_some_and(|ids| ids.contains(&json!(reader.id)))
            };
            seen.iter().find(is_it).map(|_| ())
        });
        reader.type_in(room, false);
    }
}

/// C's node is away while twenty messages are sent.
pub(crate) fn an_outage_loses_nothing(line: &Line, room: &str, alice: &User<'_>, carol: &User<'_>) {
    line.nodes[2].stop(Signal::SIGTERM);
    let texts: Vec<_> = (1..=20).map(|n| format!("while you were away, {n}")).collect();
    texts.iter().for_each(|text| {
        alice.say(room, text);
    });
    line.nodes[2].spawn();
    line.nodes[2].wait_ready();
    let back = std::time::Instant::now();
    texts.iter().for_each(|text| {
        carol.wait_for_message(room, text, seconds(90));
    });
    println!("all messages of the outage are there {:.1} s after its end", back.elapsed().as_secs_f64());
    carol.say(room, "I am back");
    alice.wait_for_message(room, "I am back", SOON);
}

/// A's cable is pulled and another plugged in; then C's falls silent, as if somebody had cut it.
fn moving_loses_nothing(line: &Line, room: &str, alice: &User<'_>, carol: &User<'_>) {
    let talk = |what: &str| {
        for n in 1..=5 {
            let texts = [alice, carol].map(|speaker| (speaker, format!("{what}, {n}, {}", speaker.id)));
            texts.iter().for_each(|(speaker, text)| {
                speaker.say(room, text);
            });
            carol.wait_for_message(room, &texts[0].1, seconds(90));
            alice.wait_for_message(room, &texts[1].1, seconds(90));
        }
    };
    for (pair, how) in line.cables.iter().zip([Cut::Down, Cut::Silent]) {
        talk("before the move");
        pair[1].mend(Cut::Down);
        pair[0].cut(how);
        let moved = std::time::Instant::now();
        talk("after the move");
        println!("{how:?}: ten messages crossed {:.1} s after the move", moved.elapsed().as_secs_f64());
    }
}
