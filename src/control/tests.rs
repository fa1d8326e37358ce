use proptest::prelude::*;

use super::*;
use crate::addr::{Address, Subnet};
use crate::keys::PublicKey;

const KEY: PublicKey = PublicKey([0x35; 32]);

fn all_requests() -> Vec<Request> {
    // With a login, which the daemon has to get.
    let uri = "tcp://192.0.2.1:7463?max_backoff=30s&proxy=socks5://joshua:hunter2@127.0.0.1:9050";
    let uri: PeerUri = uri.parse().unwrap();
    let timeout = Duration::from_millis(1_500);
    let address = Target::Address(Destination::Node(Address::of(&KEY)));
    let subnet = Target::Address(Destination::Routed(Subnet::of(&KEY)));
    vec![
        Request::Status,
        Request::Peers,
        Request::Tree,
        Request::Snake,
        Request::Sessions,
        Request::Lookup { target: Target::Key(KEY), timeout },
        Request::Lookup { target: subnet, timeout },
        Request::Ping { target: address, timeout: MAX_TIMEOUT },
        Request::Trace { target: address, timeout },
        Request::Path { target: Target::Key(KEY), timeout },
        Request::Firewall,
        Request::Metrics,
        Request::Watch,
        Request::FirewallExplain { source: subnet, protocol: Protocol::Tcp, port: Some(22) },
        Request::FirewallExplain { source: Target::Key(KEY), protocol: Protocol::Any, port: None },
        Request::PeerAdd { uri: uri.clone() },
        Request::PeerRemove { uri },
        Request::Reload { dry_run: false },
        Request::Reload { dry_run: true },
    ]
}

fn refusal(line: &str) -> FailureKind {
    decode_request(line.as_bytes()).unwrap_err().kind
}

#[test]
fn every_request_is_one_line_that_decodes_to_itself() {
    for request in all_requests() {
        let line = request.to_line();
        assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
        assert!(line.len() < MAX_REQUEST_LEN);
        assert_eq!(decode_request(line.as_bytes()), Ok(request), "{line}");
    }
}

#[test]
fn the_lines_are_as_documented() {
    assert_eq!(Request::Status.to_line(), "{\"version\":1,\"command\":\"status\"}\n");
    let failure = Failure::new(FailureKind::NotThere, "no such peer");
    let expected = "{\"version\":1,\"error\":{\"kind\":\"not_there\",\"message\":\"no such peer\"}}\n";
    assert_eq!(reply_line(&Err(failure)), expected);
    assert_eq!(reply_line(&Ok(Answer::Done)), "{\"version\":1,\"ok\":null}\n");
    assert_eq!(reply_line(&Ok(Answer::Sessions(Vec::new()))), "{\"version\":1,\"ok\":[]}\n");
}

#[test]
fn what_is_wrong_with_a_request_has_its_own_kind() {
    for line in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"command":"status"}"#,
        r#"{"version":"1","command":"status"}"#,
        r#"{"version":1}"#,
        r#"{"version":1,"command":7}"#,
        r#"{"version":1,"command":"status","more":1}"#,
        r#"{"version":1,"command":"lookup"}"#,
        r#"{"version":1,"command":"lookup","target":"2001:db8::1"}"#,
        r#"{"version":1,"command":"ping","target":"nobody"}"#,
        r#"{"version":1,"command":"ping","target":"600::1","timeout_seconds":0}"#,
        r#"{"version":1,"command":"ping","target":"600::1","timeout_seconds":-1}"#,
        r#"{"version":1,"command":"ping","target":"600::1","timeout_seconds":301}"#,
        r#"{"version":1,"command":"ping","target":"600::1","timeout_seconds":1e400}"#,
        r#"{"version":1,"command":"peer_add","uri":"gopher://192.0.2.1:1"}"#,
        r#"{"version":1,"command":"peer_add"}"#,
        r#"{"version":1,"command":"firewall_explain","target":"600::1","protocol":"tcp"}"#,
        r#"{"version":1,"command":"firewall_explain","target":"600::1","protocol":"icmp","port":1}"#,
        r#"{"version":1,"command":"firewall_explain","target":"600::1","protocol":"gre"}"#,
        r#"{"version":1,"command":"firewall_explain","target":"600::1","protocol":"tcp","port":65536}"#,
    ] {
        assert_eq!(refusal(line), FailureKind::BadRequest, "{line}");
    }
    assert_eq!(refusal(r#"{"version":2,"command":"status"}"#), FailureKind::UnsupportedVersion);
    assert_eq!(refusal(r#"{"version":1,"command":"reboot"}"#), FailureKind::UnknownCommand);
    assert_eq!(refusal(&"[".repeat(60_000)), FailureKind::BadRequest);
    assert!(decode_request(br#"{"version":1,"command":"ping","target":"600::1"}"#).is_ok());
}

#[test]
fn answers_decode_as_what_was_asked_for() {
    let answer = LookupAnswer { target: "600::1".to_owned(), key: KEY, address: "600::1".to_owned(), seconds: 0.25 };
    let line = reply_line(&Ok(Answer::Lookup(answer)));
    let lookup = Request::Lookup { target: Target::Key(KEY), timeout: DEFAULT_TIMEOUT };
    let Ok(Ok(Answer::Lookup(read))) = decode_reply(line.as_bytes(), &lookup) else { panic!("{line}") };
    assert_eq!((read.key, read.seconds), (KEY, 0.25));
    assert!(matches!(decode_reply(line.as_bytes(), &Request::Status), Err(AnswerError::Garbage(_))));

    let add = all_requests().into_iter().find(|request| request.command() == "peer_add").unwrap();
    assert!(matches!(decode_reply(b"{\"version\":1,\"ok\":null}\n", &add), Ok(Ok(Answer::Done))));
}

#[test]
fn events_are_one_flat_object_each_and_unknown_ones_are_still_events() {
    let down = events::Event::PeerDown {
        key: KEY,
        port: 3,
        uri: "tcp://192.0.2.1:7463".to_owned(),
        reason: "it said bye".to_owned(),
    };
    let happened = events::Happened { time: 1.5, event: down };
    let line = reply_line(&Ok(Answer::Event(happened.clone())));
    assert!(line.starts_with("{\"version\":1,\"ok\":{\"time\":1.5,\"event\":\"peer_down\",\"key\":"), "{line}");
    let Ok(Ok(Answer::Event(read))) = decode_reply(line.as_bytes(), &Request::Watch) else { panic!("{line}") };
    assert_eq!(read, happened);
    let newer = br#"{"version":1,"ok":{"time":2.0,"event":"tea_ready","cups":2}}"#;
    let Ok(Ok(Answer::Event(read))) = decode_reply(newer, &Request::Watch) else { panic!() };
    assert_eq!(read.event, events::Event::Unknown);
}

#[test]
fn failures_of_a_newer_daemon_are_still_failures() {
    let line = br#"{"version":1,"error":{"kind":"out_of_tea","message":"no tea"}}"#;
    let Ok(Err(failure)) = decode_reply(line, &Request::Status) else { panic!() };
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Other, "no tea"));
}

#[test]
fn a_line_that_is_no_answer_is_told_from_one_of_another_version() {
    for line in
        ["", "hello", "{}", r#"{"version":1}"#, r#"{"version":1,"ok":null,"error":{"kind":"busy","message":""}}"#]
    {
        assert!(matches!(decode_reply(line.as_bytes(), &Request::Status), Err(AnswerError::Garbage(_))), "{line}");
    }
    assert_eq!(decode_reply(br#"{"version":9,"ok":1}"#, &Request::Status).unwrap_err(), AnswerError::Version(9));
}

#[test]
fn a_target_is_an_overlay_address_a_routed_prefix_or_a_key() {
    let (address, subnet) = (Address::of(&KEY), Subnet::of(&KEY));
    assert_eq!(parse_target(&KEY.to_string()), Ok(Target::Key(KEY)));
    assert_eq!(parse_target(&address.to_string()), Ok(Target::Address(Destination::Node(address))));
    assert_eq!(parse_target(&subnet.to_string()), Ok(Target::Address(Destination::Routed(subnet))));
    assert_eq!(parse_target("fd00::1"), Err(TargetError::Elsewhere("fd00::1".parse().unwrap())));
    for wrong in ["", "600::1/64", "600::1/63", "localhost", "192.0.2.1", "0635"] {
        assert_eq!(parse_target(wrong), Err(TargetError::Neither), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoders_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_request(&line);
        let _ = decode_reply(&line, &Request::Status);
    }

    #[test]
    fn no_json_makes_the_decoders_panic(
        line in r#"\{"version":[0-9e.-]{1,5},"(command|ok|error)":("(status|ping|lookup|peer_add)"|\{"kind":"busy"\}|null),"(target|uri|timeout_seconds)":("[0-9a-f:/?µ]{0,20}"|-?[0-9]{1,3}e[0-9]{1,3})\}"#
    ) {
        let _ = decode_request(line.as_bytes());
        for request in all_requests() {
            let _ = decode_reply(line.as_bytes(), &request);
        }
    }
}
