use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "test.toml")
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config, Config::default());
    let listen: Vec<_> = config.peering.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["tcp://[::]:7463", "tls://[::]:7464"]);
    assert_eq!((config.tun.name, config.tun.mtu), (TunName::Named("pine0".parse().unwrap()), 65_000));
    assert_eq!(config.node.private_key_file.to_str(), Some("/var/lib/pinecone/node.key"));
    assert_eq!(config.control.socket.to_str(), Some("/run/pinecone/pineconed.sock"));
}

#[test]
fn sections_given_in_part_keep_the_other_defaults() {
    let config = parse("tun.mtu = 1280\n[peering]\npeers = [\"tcp://192.0.2.1:7463\"]\n").unwrap();
    assert_eq!(config.tun, TunSection { mtu: 1280, ..TunSection::default() });
    assert_eq!(config.peering.listen, PeeringSection::default().listen);
    assert_eq!(config.peering.peers.len(), 1);
}

#[test]
fn positions_count_characters_from_one() {
    let error = parse("# é\n[tun]\nname = 'é é'\n").unwrap_err();
    assert_eq!(error.position, Some(Position { line: 3, column: 8 }));
    let error = parse("control = { socket = 'µ', grp = '' }").unwrap_err();
    assert_eq!(error.position, Some(Position { line: 1, column: 27 }));
    assert_eq!(error.key.as_deref(), Some("control.grp"));
}

#[test]
fn log_filters_are_levels_and_levels_of_modules() {
    for right in ["info", "off", "warn,pinecone::router=trace", "pinecone=debug"] {
        assert!(right.parse::<LogFilter>().is_ok(), "{right}");
    }
    for wrong in ["", "loud", "info,", "=debug", "pinecone=", "a b=info", "info=pinecone"] {
        assert!(wrong.parse::<LogFilter>().is_err(), "{wrong}");
    }
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    assert_eq!(Config::default().warnings(), Vec::<String>::new());
    let warnings = |text: &str| parse(text).unwrap().warnings();
    assert!(warnings("peering.listen = []\ndiscovery.enabled = false")[0].contains("alone"));
    assert_eq!(warnings("metrics.listen = '127.0.0.1:7465'"), Vec::<String>::new());
    assert_eq!(warnings("metrics.listen = '[::1]:7465'"), Vec::<String>::new());
    assert!(warnings("metrics.listen = '0.0.0.0:7465'")[0].contains("neither encrypted"));
    assert!(warnings("[tun]\nname = 'none'\nfd = 3")[0].contains("tun.fd"));
}

#[test]
fn a_quic_peer_that_a_proxy_for_all_keeps_from_being_dialled_is_warned_of() {
    let warnings = |peers: &str, proxy: &str| {
        let text = format!("[peering]\npeers = [{peers}]\nproxy = '{proxy}'");
        parse(&text).unwrap().warnings()
    };
    let both = "'tls://192.0.2.1:7464', 'quic://192.0.2.2:7464?password=0123456789abcdef'";
    let proxy = "socks5://joshua:hunter2@127.0.0.1:1080";
    let told = warnings(both, proxy);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("peering.peers: quic://192.0.2.2:7464") && told[0].contains("127.0.0.1:1080"),
        "{told:?}"
    );
    assert!(!told[0].contains("hunter2") && !told[0].contains("0123456789abcdef"), "a secret is shown: {told:?}");
    assert_eq!(warnings("'tls://192.0.2.1:7464'", proxy), Vec::<String>::new());
    assert_eq!(warnings(both, ""), Vec::<String>::new());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in proptest::prelude::any::<String>()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_text_that_looks_like_toml_makes_the_parser_panic(
        text in "(\\[(tun|peering|nöde)\\]\n|(name|mtu|peers|listen|fd) = (\"[aµ:/]{0,4}\"|-?[0-9]{1,20}|\\[(\"tcp://[a:1µ]{0,6}\",?){0,2}\\]|true)\n){0,6}"
    ) {
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(error.to_string().starts_with("test.toml:"), "{}", error);
        }
    }
}
