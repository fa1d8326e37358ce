use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::error::MAX_LEN;
use super::parts::MAX_LABEL;
use super::*;
use crate::config::ValueError;

const KEY: &str = "ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789";

fn peer(text: &str) -> Result<PeerUri, UriError> {
    text.parse()
}

/// Where in the network a peer is.
fn net(uri: &PeerUri) -> &NetEndpoint {
    match &uri.endpoint {
        Endpoint::Net(at) => at,
        Endpoint::Unix(path) => panic!("{path} is not in the network"),
    }
}

fn listen(text: &str) -> Result<ListenUri, UriError> {
    text.parse()
}

#[test]
fn a_peer_is_a_name_or_an_address_with_options() {
    let uri = peer(&format!("TCP://Node.Example.ORG:7463?interface=eth0.7&max_backoff=5m&key={KEY}")).unwrap();
    assert_eq!(uri.scheme, Scheme::Tcp);
    assert_eq!(net(&uri).host, Host::Name("node.example.org".to_owned()));
    assert_eq!(net(&uri).port, 7463);
    assert_eq!(uri.key, Some(KEY.parse().unwrap()));
    assert_eq!(uri.max_backoff, Some(Duration::from_secs(300)));
    assert_eq!(uri.interface, Some("eth0.7".parse().unwrap()));
    let canonical = format!("tcp://node.example.org:7463?key={}&max_backoff=300s&interface=eth0.7", KEY.to_lowercase());
    assert_eq!(uri.to_string(), canonical);
    assert_eq!(peer("tcp://192.0.2.1:1").unwrap().to_string(), "tcp://192.0.2.1:1");
    assert_eq!(peer("tcp://[2001:DB8:0::1]:65535").unwrap().to_string(), "tcp://[2001:db8::1]:65535");
    assert_eq!(peer("tcp://[fe80::1]:1?interface=wlan0").unwrap().to_string(), "tcp://[fe80::1]:1?interface=wlan0");
}

#[test]
fn every_wrong_part_has_its_own_error() {
    let cases: &[(&str, UriError)] = &[
        ("", UriError::NoScheme),
        ("192.0.2.1:7463", UriError::NoScheme),
        ("://192.0.2.1:7463", UriError::NoScheme),
        ("http://192.0.2.1:80", UriError::UnknownScheme),
        ("unix://", UriError::BadSocketPath),
        ("unix://run/x", UriError::BadSocketPath),
        ("unix:///run/", UriError::BadSocketPath),
        ("unix:///run/%00", UriError::BadSocketPath),
        ("unix:///run/x%2", UriError::BadSocketPath),
        ("unix:///run/x#y", UriError::Path),
        ("unix:///run/x?interface=eth0", UriError::WrongOption("interface", "for unix://")),
        ("unix:///run/x?proxy=http://h:1", UriError::WrongOption("proxy", "for unix://")),
        ("unix:///run/x?group=wheel", UriError::UnknownOption(1, PEER_OPTIONS)),
        ("tcp://192.0.2.1:1?proxy=127.0.0.1:9050", UriError::BadProxy),
        ("tcp://192.0.2.1:1?proxy=socks5://:x@h:1", UriError::BadProxyLogin),
        ("tls://192.0.2.1:7464/path", UriError::Path),
        (
            "quic://192.0.2.1:1?proxy=http://h:1",
            UriError::WrongOption("proxy", "for quic://: proxies carry TCP; use tls:// there"),
        ),
        ("tcp://me@192.0.2.1:7463", UriError::UserInfo),
        ("tcp://", UriError::NoHost),
        ("tcp://:7463", UriError::NoHost),
        ("tcp://[]:7463", UriError::NoHost),
        ("tcp://2001:db8::1:7463", UriError::NoBrackets),
        ("tcp://[2001:db8::1", UriError::BadIpv6),
        ("tcp://[192.0.2.1]:7463", UriError::BadIpv6),
        ("tcp://[fe80::1%eth0]:7463", UriError::Zone),
        ("tcp://192.0.2.300:7463", UriError::BadHost),
        ("tcp://no..dots:7463", UriError::BadHost),
        ("tcp://-dash:7463", UriError::BadHost),
        ("tcp://sp ace:7463", UriError::BadHost),
        ("tcp://0.0.0.0:7463", UriError::Unspecified),
        ("tcp://[::]:7463", UriError::Unspecified),
        ("tcp://[fe80::1]:7463", UriError::NoInterface),
        ("tcp://[640:1234::1]:7463", UriError::Overlay),
        ("tcp://[701::1]:7463", UriError::Overlay),
        ("tcp://192.0.2.1", UriError::NoPort),
        ("tcp://192.0.2.1:", UriError::NoPort),
        ("tcp://[2001:db8::1]", UriError::NoPort),
        ("tcp://192.0.2.1:0", UriError::BadPort),
        ("tcp://192.0.2.1:65536", UriError::BadPort),
        ("tcp://192.0.2.1:+7463", UriError::BadPort),
        ("tcp://192.0.2.1:7463/", UriError::Path),
        ("tcp://192.0.2.1:7463#top", UriError::Path),
        ("tcp://192.0.2.1:7463/a@b", UriError::Path),
        ("ws://192.0.2.1:80/a#top", UriError::Path),
        ("ws://me@192.0.2.1:80/a", UriError::UserInfo),
        ("ws://192.0.2.1/a", UriError::NoPort),
        ("ws://192.0.2.1:/a", UriError::NoPort),
        ("ws://192.0.2.1:80/a b", UriError::BadPath),
        ("ws://192.0.2.1:80/caf\u{e9}", UriError::BadPath),
        ("ws://192.0.2.1:80/%4", UriError::BadPath),
        ("ws://192.0.2.1:80/%zz", UriError::BadPath),
        ("ws://192.0.2.1:80/100%", UriError::BadPath),
        ("tcp://192.0.2.1:7463?", UriError::UnknownOption(1, PEER_OPTIONS)),
        ("tcp://192.0.2.1:7463?interface=eth0&colour=red", UriError::UnknownOption(2, PEER_OPTIONS)),
        ("tcp://192.0.2.1:7463?key=abcd", UriError::BadKey),
        ("tcp://192.0.2.1:7463?max_backoff=0s", UriError::BadBackoff),
        ("tcp://192.0.2.1:7463?max_backoff=25h", UriError::BadBackoff),
        ("tcp://192.0.2.1:7463?max_backoff=10", UriError::BadBackoff),
        ("tcp://192.0.2.1:7463?max_backoff=99999999999999999999h", UriError::BadBackoff),
        ("tcp://192.0.2.1:7463?max_backoff=5µ", UriError::BadBackoff),
        ("tcp://192.0.2.1:7463?interface=far-too-long-name", UriError::BadInterface(ValueError::InterfaceName)),
        ("tcp://192.0.2.1:7463?interface=a&interface=a", UriError::RepeatedOption("interface")),
    ];
    for (text, expected) in cases {
        assert_eq!(peer(text), Err(expected.clone()), "{text}");
    }
    assert_eq!(peer(&format!("tcp://{}:1", "a".repeat(MAX_LEN))), Err(UriError::TooLong));
    assert_eq!(peer(&format!("tcp://{}:1", "a".repeat(MAX_LABEL + 1))), Err(UriError::BadHost));
    assert!(peer(&format!("tcp://{}:1", "a".repeat(MAX_LABEL))).is_ok());
}

#[test]
fn errors_do_not_repeat_what_may_be_a_secret() {
    for text in [
        "tcp://user:hunter2@192.0.2.1:7463",
        "tcp://192.0.2.1:7463?password=hunter2",
        "tcp://192.0.2.1:7463?key=hunter2",
        "tcp://192.0.2.1:7463?proxy=hunter2",
        "tcp://192.0.2.1:7463?proxy=socks5://hunter2@h",
        "tcp://192.0.2.1:7463?proxy=socks5://a:hunter2%@h:1",
        "tcp://192.0.2.1:7463?hunter2",
        "hunter2",
    ] {
        let message = peer(text).unwrap_err().to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn listening_needs_an_address_and_takes_port_zero() {
    assert_eq!(listen("tcp://[::]:7463").unwrap().address, (Ipv6Addr::UNSPECIFIED, 7463).into());
    assert_eq!(listen("tcp://127.0.0.1:0").unwrap().to_string(), "tcp://127.0.0.1:0");
    assert_eq!(listen("tcp://[fe80::1]:1?interface=eth0").unwrap().to_string(), "tcp://[fe80::1]:1?interface=eth0");
    assert_eq!(listen("tcp://localhost:1"), Err(UriError::ListenName));
    assert_eq!(listen("tcp://[600::1]:1"), Err(UriError::Overlay));
    assert_eq!(listen("tcp://[fe80::1]:1"), Err(UriError::NoInterface));
    assert_eq!(listen("tcp://[::]:99999"), Err(UriError::BadPort));
    assert_eq!(listen(&format!("tcp://[::]:1?key={KEY}")), Err(UriError::UnknownOption(1, LISTEN_OPTIONS)));
}

#[test]
fn a_websocket_peer_can_have_a_path_and_a_listener_takes_any() {
    let uri = peer("WS://node.example.org:80/peer/%7Ea/;x=1@home?max_backoff=5s").unwrap();
    assert_eq!((uri.scheme, net(&uri).path.as_str()), (Scheme::Ws, "/peer/%7Ea/;x=1@home"));
    assert_eq!(uri.to_string(), "ws://node.example.org:80/peer/%7Ea/;x=1@home?max_backoff=5s");
    assert_eq!(peer("ws://[2001:db8::1]:80/").unwrap().to_string(), "ws://[2001:db8::1]:80");
    assert_eq!(net(&peer("ws://192.0.2.1:80").unwrap()).path, "");
    assert_eq!(listen("ws://[::]:7465").unwrap().to_string(), "ws://[::]:7465");
    assert_eq!(listen("ws://[::]:7465/"), Err(UriError::Path));
}

#[test]
fn peers_and_listeners_have_a_priority_and_a_cap() {
    let policy = PeerPolicy { priority: 254, max_rate: Some(10_000_000) };
    let uri = peer("tcp://192.0.2.1:7463?max_rate=10M&priority=254").unwrap();
    assert_eq!((uri.policy, uri.to_string().as_str()), (policy, "tcp://192.0.2.1:7463?priority=254&max_rate=10M"));
    let uri = listen("tcp://[::]:7463?priority=254&max_rate=10000k").unwrap();
    assert_eq!((uri.policy, uri.to_string().as_str()), (policy, "tcp://[::]:7463?priority=254&max_rate=10M"));
    assert_eq!(peer("tcp://192.0.2.1:7463?priority=0").unwrap(), peer("tcp://192.0.2.1:7463").unwrap());
    for bad in ["255", "-1", "+1", "", "1.5", "high"] {
        assert_eq!(peer(&format!("tcp://192.0.2.1:7463?priority={bad}")), Err(UriError::BadPriority), "{bad}");
    }
    assert_eq!(listen("tcp://[::]:1?max_rate=fast"), Err(UriError::BadRate));
}

#[test]
fn the_same_endpoint_may_have_other_options() {
    let plain = peer("tcp://192.0.2.1:7463").unwrap();
    assert!(plain.same_endpoint(&peer(&format!("tcp://192.0.2.1:7463?key={KEY}")).unwrap()));
    assert!(!plain.same_endpoint(&peer("tcp://192.0.2.1:7464").unwrap()));
    assert!(!plain.same_endpoint(&peer("tcp://192.0.2.1:7463?interface=eth0").unwrap()));
    assert!(!plain.same_endpoint(&peer("ws://192.0.2.1:7463").unwrap()));
    let web = peer("ws://192.0.2.1:80/a").unwrap();
    assert!(!web.same_endpoint(&peer("ws://192.0.2.1:80/b").unwrap()));
}

#[test]
fn a_peer_can_be_dialled_through_a_proxy_whose_login_is_seen_by_the_daemon_only() {
    let text = "ws://node.onion:80/p?max_backoff=5s&proxy=socks5://joshua:hunter2@127.0.0.1:9050";
    let uri = peer(text).unwrap();
    assert_eq!(uri.with_secrets().to_string(), text);
    for shown in [uri.to_string(), format!("{uri:?}"), format!("{uri:#?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains("joshua"), "{shown}");
    }
    // What is shown can be used to remove it.
    assert!(uri.same_endpoint(&peer(&uri.to_string()).unwrap()));
}

#[test]
fn a_unix_socket_is_an_absolute_path() {
    let uri = peer("UNIX:///run/a%20b%3Fc/%25.sock?max_backoff=5s").unwrap();
    assert_eq!(uri.to_string(), "unix:///run/a%20b%3Fc/%25.sock?max_backoff=5s");
    assert!(matches!(&uri.endpoint, Endpoint::Unix(path) if path.as_path() == "/run/a b?c/%.sock"));
    assert!(uri.same_endpoint(&peer("unix:///run/a b%3fc/%25.sock").unwrap()));
    assert_eq!(listen("unix:///run/x").unwrap().to_string(), "unix:///run/x");
    assert_eq!(listen("unix:///run/x?group=pinecone").unwrap().to_string(), "unix:///run/x?group=pinecone");
    assert_eq!(listen("unix:///run/x?group="), Err(UriError::BadGroup));
    assert_eq!(listen("unix:///run/x?interface=lo"), Err(UriError::WrongOption("interface", "for unix://")));
    assert_eq!(listen("tcp://[::]:1?group=wheel"), Err(UriError::WrongOption("group", "but for unix://")));
    let longest = format!("unix:///{}", "x".repeat(106));
    assert!(peer(&longest).is_ok());
    assert_eq!(peer(&format!("{longest}x")), Err(UriError::BadSocketPath));
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|ip| Host::Ip(ip.into())),
        any::<Ipv6Addr>().prop_map(|ip| Host::Ip(ip.into())),
        "[a-z0-9_]{1,20}(\\.[a-z][a-z0-9-]{0,20}){0,3}".prop_map(Host::Name),
    ]
}

fn uri() -> impl Strategy<Value = PeerUri> {
    let key = proptest::option::of(any::<[u8; 32]>().prop_map(PublicKey));
    let backoff = proptest::option::of((1u64..=24 * 3600).prop_map(Duration::from_secs));
    let interface = proptest::option::of("[a-z][a-z0-9.@_-]{0,14}".prop_map(|name| name.parse().unwrap()));
    let place = prop_oneof![
        Just((Scheme::Tcp, String::new())),
        "(/([a-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}){1,9}){0,3}".prop_map(|path| (Scheme::Ws, path)),
    ];
    let proxy = proptest::option::of((any::<bool>(), "[^:]{1,9}", "\\PC{0,9}", 1u16..).prop_map(
        |(http, user, password, port)| {
            let scheme = if http { "http" } else { "socks5" };
            let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            format!("{scheme}://{}:{}@proxy.example:{port}", encode(&user), encode(&password)).parse().unwrap()
        },
    ));
    let net = (place, host(), 1u16.., interface, proxy).prop_map(|(place, host, port, interface, proxy)| {
        (place.0, Endpoint::Net(NetEndpoint { host, port, path: place.1 }), interface, proxy)
    });
    let unix = "(/[^/\\x00]{1,8}){1,3}".prop_map(|path| {
        let text: String =
            path.bytes().map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02x}") }).collect();
        (Scheme::Unix, peer(&format!("unix://{text}")).unwrap().endpoint, None, None)
    });
    let policy = (0u8..=254, proptest::option::of(10_000u64..=1_000_000_000_000))
        .prop_map(|(priority, max_rate)| PeerPolicy { priority, max_rate });
    let password = proptest::option::of("[A-Za-z0-9._~-]{16,128}".prop_map(|text| text.parse().unwrap()));
    (prop_oneof![3 => net, 1 => unix], key, password, backoff, policy).prop_map(
        |((scheme, endpoint, interface, proxy), key, password, max_backoff, policy)| PeerUri {
            scheme,
            endpoint,
            key,
            password,
            max_backoff,
            interface,
            proxy,
            policy,
        },
    )
}

proptest! {
    #[test]
    fn a_uri_that_is_accepted_displays_as_text_of_the_same_uri(uri in uri()) {
        // Some combinations are refused (overlay addresses, all-digit names); what is accepted must be the same.
        let text = uri.with_secrets().to_string();
        if let Ok(parsed) = text.parse::<PeerUri>() {
            prop_assert_eq!(parsed, uri);
        } else {
            let refused = match &net(&uri).host {
                Host::Ip(ip) => is_overlay(*ip) || ip.is_unspecified() || require_interface(*ip, uri.interface.as_ref()).is_err(),
                Host::Name(name) => !name.contains('.') && name.bytes().all(|byte| byte.is_ascii_digit()),
            };
            prop_assert!(refused, "{}", uri);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = peer(&text);
        let _ = listen(&text);
    }

    #[test]
    fn no_text_that_looks_like_a_uri_makes_the_parser_panic(
        text in "(tcp|tls|ws|wss|quic|unix|TCP)://[\\[\\]:.a-f0-9%@µ-]{0,20}:?[0-9+]{0,6}[/?]?[a-z%0-9]{0,3}[?]?((key|max_backoff|interface)=?[a-z0-9µ=&]{0,10}&?){0,3}"
    ) {
        if let Ok(uri) = peer(&text) {
            prop_assert_eq!(uri.with_secrets().to_string().parse(), Ok(uri));
        }
        if let Ok(uri) = listen(&text) {
            prop_assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
