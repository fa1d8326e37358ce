//! The lab does what the other tests rely on.

use crate::lab::Cut;
use crate::packets::{Capture, Injector};
use crate::sandbox::in_lab;
use crate::traffic::{Transfer, assert_pings, echo_datagrams, first_reply, iperf, ping};
use crate::wait::{seconds, wait_until};

#[test]
fn a_link_carries_packets_until_it_is_cut_and_again_when_it_is_mended() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let link = lab.link(&a, &b);
        let far = link.end_at(&b).v6;
        assert_pings(&a, far);
        for how in [Cut::Down, Cut::Silent] {
            link.cut(how);
            assert_eq!(first_reply(&a, far, seconds(1)), None, "{how:?}");
            link.mend(how);
            assert!(first_reply(&a, far, seconds(5)).is_some(), "{how:?}");
        }
    });
}

#[test]
fn a_lossy_link_loses_some_packets_and_a_transfer_survives_it() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let link = lab.link(&a, &b);
        let far = link.end_at(&b).v6;
        link.lose(30);
        let pings = ping(&a, far, "-c 100 -i 0.005 -W 1");
        // Both directions lose: 49 of 100 on average, and 1 or 99 about never.
        assert!(pings.sent == 100 && (1..100).contains(&pings.received), "{pings:?}");
        link.mend(Cut::Silent);
        link.lose(1);
        Transfer::complete(&a, &b, far, 1 << 20);
    });
}

#[test]
fn what_is_not_encrypted_is_seen_by_a_capture() {
    in_lab(&[], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let far = lab.link(&a, &b).end_at(&b).v6;
        let capture = Capture::start(&b, &[b"\xfd\x00\x00\x00\x00", b"this is nowhere in the datagrams"]);
        echo_datagrams(&a, &b, far, 20, 1000);
        let counts = capture.finish();
        assert!(counts[0] >= 40 && counts[1] == 0, "{counts:?}");
    });
}

#[test]
fn a_host_reaches_only_what_it_is_linked_to() {
    in_lab(&[], |lab| {
        let (a, b, c) = (lab.host("a"), lab.host("b"), lab.host("c"));
        lab.link(&a, &b);
        let far = lab.link(&b, &c).end_at(&c).v6;
        assert_eq!(first_reply(&a, far, seconds(1)), None);
        assert_pings(&b, far);
    });
}

#[test]
fn traffic_and_injection_work_without_any_daemon() {
    in_lab(&["iperf3"], |lab| {
        let (a, b) = (lab.host("a"), lab.host("b"));
        let far = lab.link(&a, &b).end_at(&b).v6;
        let transfer = Transfer::start(&a, &b, far, 32 << 20, 8 << 20);
        wait_until("what may be sent has arrived", seconds(10), || transfer.received() == 8 << 20);
        transfer.go_on();
        transfer.finish();
        echo_datagrams(&a, &b, far, 1, 60_000);
        assert!(iperf(&a, &b, far, 1, true) > 5.0);
        let capture = Capture::start(&b, &[b"this was injected"]);
        // Broadcast, from nobody, of a protocol reserved for experiments.
        let frame = [&[0xff; 6], &[2, 0, 0, 0, 0, 1][..], &[0x88, 0xb5], b"this was injected"].concat();
        assert!(Injector::towards(&a, far).send(&frame));
        assert_eq!(capture.finish(), [1]);
    });
}
