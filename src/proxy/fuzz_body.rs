//! The body of the fuzz target `proxy`.

use super::{Handshake, MAX_ANSWER};
use crate::config::{Host, ProxyUri};

/// The first byte says which proxy, the others are what it says: the same in one piece and byte by byte, nothing read behind the end,
/// and an end before too much is said.
#[expect(clippy::panic, reason = "that is what a fuzz target is for")]
pub fn fuzz_proxy(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    let start = || {
        let uri = ["socks5://h:1", "socks5://a:b@h:1", "http://h:1", "http://a:b@h:1"][usize::from(which % 4)];
        let proxy: Option<ProxyUri> = uri.parse().ok();
        proxy.map(|proxy| Handshake::new(&proxy, &Host::Name("node.example".to_owned()), 7463))
    };
    let (Some(mut whole), Some(mut pieces)) = (start(), start()) else { panic!("these are proxies") };
    let at_once = whole.handle_read(bytes);
    let one_by_one = bytes.iter().try_fold(0, |sum, byte| {
        let _ = pieces.poll_transmit();
        pieces.handle_read(std::slice::from_ref(byte)).map(|consumed| sum + consumed)
    });
    assert_eq!(at_once, one_by_one);
    assert_eq!(whole.is_open(), pieces.is_open());
    assert!(whole.is_open() || at_once.is_err() || bytes.len() <= MAX_ANSWER);
}
