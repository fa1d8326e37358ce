use proptest::prelude::*;

use super::*;

fn handshake(proxy: &str, host: &str) -> Handshake {
    let host = host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Ip);
    Handshake::new(&proxy.parse().unwrap(), &host, 7463)
}

/// What we say after the proxy said `bytes`, all of which must be its own.
fn reply(handshake: &mut Handshake, bytes: &[u8]) -> Vec<u8> {
    assert_eq!(handshake.handle_read(bytes), Ok(bytes.len()));
    handshake.poll_transmit().unwrap_or_default()
}

#[test]
fn socks5_sends_the_name_to_the_proxy_and_leaves_the_peer_s_bytes_alone() {
    let mut socks = handshake("socks5://h:1", "node.onion");
    assert_eq!(socks.poll_transmit().unwrap(), [5, 1, 0]);
    assert_eq!(reply(&mut socks, &[5, 0]), b"\x05\x01\x00\x03\x0anode.onion\x1d\x27");
    assert!(!socks.is_open());
    assert_eq!(socks.handle_read(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb]), Ok(10));
    assert!(socks.is_open());
    assert_eq!(socks.handle_read(&[0xaa]), Ok(0));
}

#[test]
fn socks5_logs_in_where_it_is_asked_to_and_takes_every_kind_of_address() {
    let mut socks = handshake("socks5://me:secret@h:1", "192.0.2.1");
    assert_eq!(socks.poll_transmit().unwrap(), [5, 2, 0, 2]);
    assert_eq!(reply(&mut socks, &[5, 2]), b"\x01\x02me\x06secret");
    assert_eq!(reply(&mut socks, &[1, 0]), [5, 1, 0, 1, 192, 0, 2, 1, 0x1d, 0x27]);
    assert!(reply(&mut socks, b"\x05\x00\x00\x03\x02ab\x00").is_empty());
    assert!(!socks.is_open());
    assert!(reply(&mut socks, &[1]).is_empty());
    assert!(socks.is_open());
    let mut without = handshake("socks5://me:secret@h:1", "2001:db8::1");
    assert_eq!(reply(&mut without, &[5, 0])[3], 4);
    assert!(reply(&mut without, &[5, 0, 0, 4]).is_empty());
    assert!(reply(&mut without, &[0; 18]).is_empty());
    assert!(without.is_open());
}

#[test]
fn every_way_that_socks5_fails_has_its_own_sentence() {
    let after = |login: &str, messages: &[&[u8]]| {
        let mut socks = handshake(&format!("socks5://{login}h:1"), "node.example");
        messages.iter().find_map(|message| socks.handle_read(message).err())
    };
    assert_eq!(after("", &[b"HTTP/1.1 400"]), Some(ProxyError::NotSocks5));
    assert_eq!(after("", &[&[5, 2]]), Some(ProxyError::NeedsLogin));
    assert_eq!(after("", &[&[5, 0xff]]), Some(ProxyError::NeedsLogin));
    assert_eq!(after("a:b@", &[&[5, 0xff]]), Some(ProxyError::NoCommonLogin));
    assert_eq!(after("a:b@", &[&[5, 2], &[1, 1]]), Some(ProxyError::LoginRefused));
    assert_eq!(after("", &[&[5, 0], &[5, 0, 0, 9]]), Some(ProxyError::NotSocks5));
    for reply in 1..=0xff {
        let error = after("", &[&[5, 0], &[5, reply]]).unwrap().to_string();
        assert!(error.contains("node.example:7463: "), "{error}");
    }
}

#[test]
fn connect_sends_the_name_and_leaves_the_peer_s_bytes_alone() {
    let mut http = handshake("http://h:1", "node.example");
    let request = String::from_utf8(http.poll_transmit().unwrap()).unwrap();
    assert_eq!(request, "CONNECT node.example:7463 HTTP/1.1\r\nHost: node.example:7463\r\n\r\n");
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nContent-Length: 9\r\n\r\n";
    let all = [&answer[..], b"pine"].concat();
    assert_eq!(http.handle_read(&all), Ok(answer.len()));
    assert!(http.is_open());
}

#[test]
fn connect_logs_in_and_writes_ipv6_in_brackets() {
    let mut http = handshake("http://me:s%3Acret@h:1", "2001:db8::1");
    let request = String::from_utf8(http.poll_transmit().unwrap()).unwrap();
    assert!(request.starts_with("CONNECT [2001:db8::1]:7463 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nProxy-Authorization: Basic bWU6czpjcmV0\r\n"), "{request}");
}

#[test]
fn every_way_that_connect_fails_has_its_own_sentence() {
    let after = |login: &str, answer: &str| {
        handshake(&format!("http://{login}h:1"), "n.example").handle_read(answer.as_bytes())
    };
    let with = |status: &str| after("", &format!("HTTP/1.1 {status}\r\nServer: x\r\n\r\n")).unwrap_err();
    assert_eq!(with("407 Who"), ProxyError::NeedsLogin);
    assert_eq!(after("a:b@", "HTTP/1.1 407\n\n"), Err(ProxyError::LoginRefused));
    assert!(with("403 No").to_string().contains("its rules forbid it"));
    assert!(matches!(with("503 Later"), ProxyError::CannotReach { .. }));
    assert!(matches!(with("404 What"), ProxyError::Refused { .. }));
    for wrong in ["\u{5}", "SSH-2.0", "HTTP/2 200\n", "HTTP/1.1 2x0\n", "HTTP/1.1 2000\n", "HTTP/1.1\n", "\n"] {
        assert_eq!(after("", wrong), Err(ProxyError::NotHttp), "{wrong:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(MAX_ANSWER));
    assert_eq!(after("", &endless), Err(ProxyError::TooLong));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_ANSWER);
    assert_eq!(after("", &interim), Err(ProxyError::TooLong));
}

#[test]
fn nothing_that_is_shown_has_the_login_in_it() {
    for kind in ["socks5", "http"] {
        let mut handshake = handshake(&format!("{kind}://joshua:hunter2@h:1"), "n.example");
        handshake.poll_transmit();
        let shown = format!("{handshake:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("joshua"), "{shown}");
    }
}

proptest! {
    #[test]
    fn an_answer_means_the_same_in_one_piece_and_in_many(which in 0u8..4, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let begins: &[u8] = if which > 1 { b"HTTP/1.1 200\r\n" } else if which == 1 { &[5, 2, 1, 0, 5, 0, 0] } else { &[5, 0, 5, 0, 0] };
        fuzz_body::fuzz_proxy(&[&[which], begins, &bytes].concat());
    }
}
