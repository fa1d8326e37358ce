use super::*;
use crate::keys::{Keypair, Seed};
use crate::wire::frame::{MAX_FRAME_LEN, announcement};

fn pair(n: u8) -> Keypair {
    Keypair::from_seed(&Seed([n; 32]))
}

fn hello_of(signer: &Keypair) -> [u8; HELLO_LEN] {
    Hello { key: signer.public(), extension_version: 1, extensions: 5 }.encode(signer)
}

fn config(n: u8, expected_key: Option<PublicKey>) -> LinkConfig {
    LinkConfig { expected_key, ..LinkConfig::plain(hello_of(&pair(n)), pair(n).public()) }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

/// Reads all of `bytes`, as much at a time as fits, and returns the frames.
fn feed(link: &mut Link, mut bytes: &[u8], now: Instant) -> Result<Vec<Vec<u8>>, LinkError> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let buffer = link.read_buffer();
        let len = buffer.len().min(bytes.len());
        assert!(len > 0, "nowhere to read to, though all events were taken");
        buffer[..len].copy_from_slice(&bytes[..len]);
        bytes = &bytes[len..];
        link.handle_read(len, now)?;
        while let Some(event) = link.poll_event() {
            if let LinkEvent::Frame(frame) = event {
                frames.push(frame.to_vec());
            }
        }
    }
    Ok(frames)
}

/// A link at time 0 whose hellos are exchanged.
fn open() -> Link {
    let mut link = Link::new(config(1, None), at(0));
    assert!(link.poll_transmit().is_some());
    assert_eq!(feed(&mut link, &hello_of(&pair(2)), at(0)), Ok(vec![]));
    link
}

#[test]
fn our_hello_goes_out_before_anything_came_in() {
    let mut link = Link::new(config(1, None), at(0));
    assert_eq!(link.poll_transmit().as_deref(), Some(&hello_of(&pair(1))[..]));
    assert!(link.poll_transmit().is_none());
}

#[test]
fn our_hello_is_sent_even_if_the_peer_s_was_faster() {
    let mut link = Link::new(config(1, None), at(0));
    assert!(feed(&mut link, &hello_of(&pair(2)), at(0)).is_ok());
    assert_eq!(link.poll_transmit().as_deref(), Some(&hello_of(&pair(1))[..]));
}

#[test]
fn two_links_come_up_with_each_other_s_key_and_extensions() {
    let mut a = Link::new(config(1, Some(pair(2).public())), at(0));
    let mut b = Link::new(config(2, None), at(0));
    let hello = a.poll_transmit().unwrap();
    b.read_buffer()[..HELLO_LEN].copy_from_slice(&hello);
    b.handle_read(HELLO_LEN, at(0)).unwrap();
    let Some(LinkEvent::Up { key, extension_version, extensions, proven: false }) = b.poll_event() else {
        panic!("not up")
    };
    assert_eq!((key, extension_version, extensions), (pair(1).public(), 1, 5));
    assert_eq!(feed(&mut a, &b.poll_transmit().unwrap(), at(0)), Ok(vec![]));
}

#[test]
fn a_peer_with_another_key_than_the_configured_one_is_refused() {
    let mut link = Link::new(config(1, Some(pair(3).public())), at(0));
    let error = LinkError::WrongKey { expected: pair(3).public(), actual: pair(2).public() };
    assert_eq!(feed(&mut link, &hello_of(&pair(2)), at(0)), Err(error));
    assert!(link.poll_event().is_none(), "it was never up");
}

#[test]
fn a_connection_to_ourselves_is_refused() {
    let mut link = Link::new(config(1, None), at(0));
    assert_eq!(feed(&mut link, &hello_of(&pair(1)), at(0)), Err(LinkError::OwnKey));
}

#[test]
fn the_whole_exchange_of_hellos_has_ten_seconds() {
    let mut link = Link::new(config(1, None), at(0));
    assert_eq!(link.poll_timeout(), Some((at(10_000), LinkTimer::Hello)));
    assert_eq!(feed(&mut link, &hello_of(&pair(2))[..103], at(9_000)), Ok(vec![]));
    assert_eq!(link.poll_timeout(), Some((at(10_000), LinkTimer::Hello)), "a part of a hello buys no time");
    assert_eq!(link.handle_timeout(at(9_999)), Ok(()));
    assert_eq!(link.handle_timeout(at(10_000)), Err(LinkError::HelloTimeout));
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn a_frame_that_is_not_complete_in_time_ends_the_link() {
    let mut link = open();
    let frame = announcement(&[7; 20_000]).unwrap();
    assert_eq!(feed(&mut link, &frame[..19_000], at(4_900)).unwrap().len(), 0);
    link.handle_written(at(4_900));
    assert_eq!(link.poll_timeout(), Some((at(5_000), LinkTimer::Silence)), "bytes alone buy no time");
    assert_eq!(link.handle_timeout(at(5_000)), Err(LinkError::Silent));
    assert_eq!(link.handle_read(0, at(5_000)), Err(LinkError::Silent), "an error is repeated");
}

#[test]
fn every_whole_frame_counts_as_a_sign_of_life() {
    let unknown = *b"pine\x00\xff\x00\x00\x00\x0b\x00";
    for frame in [&frame::keepalive()[..], &unknown, &announcement(&[7; 20_000]).unwrap()] {
        let mut link = open();
        feed(&mut link, frame, at(4_000)).unwrap();
        link.handle_written(at(8_000));
        assert_eq!(link.poll_timeout(), Some((at(9_000), LinkTimer::Silence)));
        assert_eq!(link.handle_timeout(at(8_999)), Ok(()));
    }
}

#[test]
fn a_keepalive_is_sent_after_three_seconds_without_a_write() {
    let mut link = open();
    link.handle_written(at(1_000));
    assert_eq!(link.poll_timeout(), Some((at(4_000), LinkTimer::Keepalive)));
    assert_eq!(link.handle_timeout(at(3_999)), Ok(()));
    assert!(link.poll_transmit().is_none());
    assert_eq!(link.handle_timeout(at(4_000)), Ok(()));
    assert_eq!(link.poll_transmit().as_deref(), Some(&frame::keepalive()[..]));
    assert!(link.poll_transmit().is_none(), "one is enough");
}

#[test]
fn a_keepalive_that_was_not_taken_yet_is_not_needed_after_another_write() {
    let mut link = open();
    assert_eq!(link.handle_timeout(at(3_000)), Ok(()));
    link.handle_written(at(3_100));
    assert!(link.poll_transmit().is_none());
}

#[test]
fn keepalives_are_swallowed_and_unknown_types_passed_on() {
    let mut link = open();
    let long_keepalive = [b"pine\x00\x00\x00\x00\x40\x00", &[0; 16_374][..]].concat();
    let unknown = b"pine\x00\x42\x00\x00\x00\x0b\x00".to_vec();
    let stream = [&frame::keepalive()[..], &unknown, &long_keepalive, &unknown].concat();
    assert_eq!(feed(&mut link, &stream, at(0)), Ok(vec![unknown.clone(), unknown]));
}

#[test]
fn the_rest_of_a_large_frame_is_read_to_where_it_stays() {
    let mut link = open();
    let frame = announcement(&[7; 60_000]).unwrap();
    assert_eq!(feed(&mut link, &frame[..100], at(0)), Ok(vec![]));
    let buffer = link.read_buffer();
    assert_eq!(buffer.len(), frame.len() - 100, "exactly the rest, so that nothing of the next frame has to be moved");
    let at_rest = buffer.as_ptr();
    buffer.copy_from_slice(&frame[100..]);
    link.handle_read(frame.len() - 100, at(0)).unwrap();
    let Some(LinkEvent::Frame(taken)) = link.poll_event() else { panic!("no frame") };
    assert_eq!(*taken, *frame);
    assert_eq!(taken[100..].as_ptr(), at_rest);
}

#[test]
fn frames_keep_their_order_around_a_large_one() {
    let mut link = open();
    let frames: Vec<_> = [10, 60_000, 9_000, 8_000, 16_000, 1, MAX_FRAME_LEN - 12, 0]
        .map(|len| announcement(&vec![len as u8; len]).unwrap().to_vec())
        .into();
    assert_eq!(feed(&mut link, &frames.concat(), at(0)), Ok(frames));
}

#[test]
fn a_stream_that_loses_its_framing_ends_the_link_after_the_whole_frames() {
    let mut link = open();
    let unknown = b"pine\x00\x42\x00\x00\x00\x0b\x00";
    let stream = [&unknown[..], b"pine\x00\x42\x00\x00\x00\x09\x00"].concat();
    link.read_buffer()[..stream.len()].copy_from_slice(&stream);
    let error = LinkError::Framing(DecodeError::BelowMinimum { what: "frame", len: 9, minimum: 10 });
    assert_eq!(link.handle_read(stream.len(), at(0)), Err(error));
    assert!(matches!(link.poll_event(), Some(LinkEvent::Frame(frame)) if *frame == *unknown));
    assert!(link.poll_event().is_none());
    assert!(link.poll_transmit().is_none());
}

#[test]
fn a_caller_that_reports_more_than_was_asked_for_breaks_nothing() {
    let mut link = Link::new(config(1, None), at(0));
    assert!(link.handle_read(usize::MAX, at(0)).is_err(), "zeros are no hello");
    let mut link = open();
    feed(&mut link, &announcement(&[7; 20_000]).unwrap()[..100], at(0)).unwrap();
    assert_eq!(link.handle_read(usize::MAX, at(0)), Ok(()));
    assert!(link.poll_event().is_some());
}

#[test]
fn tiny_frames_do_not_multiply_into_buffers() {
    let mut link = open();
    let tiny = b"pine\x00\x42\x00\x00\x00\x0a".repeat(1_600);
    link.read_buffer()[..tiny.len()].copy_from_slice(&tiny);
    link.handle_read(tiny.len(), at(0)).unwrap();
    assert!(link.read_buffer().len() < 1_000, "what was not taken still lies in the staging");
    assert_eq!(std::iter::from_fn(|| link.poll_event()).count(), 1_600);
    assert!(link.read_buffer().len() > 16_000);
}

#[test]
fn errors_tell_people_what_to_do() {
    let wrong = LinkError::WrongKey { expected: PublicKey::FULL, actual: PublicKey::ZERO }.to_string();
    assert!(wrong.contains(&PublicKey::FULL.to_string()) && wrong.contains("correct the key"), "{wrong}");
    assert!(LinkError::OwnKey.to_string().contains("ourselves"));
}

#[test]
fn a_hello_with_another_key_than_the_channels_is_refused() {
    for claimed in [2, 3] {
        let carrier = Carrier::Channel { key: pair(2).public(), binding: [7; 32] };
        let mut link = Link::new(LinkConfig { carrier, ..config(1, None) }, Instant::ZERO);
        let hello = hello_of(&pair(claimed));
        link.read_buffer()[..HELLO_LEN].copy_from_slice(&hello);
        let result = link.handle_read(HELLO_LEN, Instant::ZERO);
        let mixed_up = LinkError::CarrierKey { carrier: pair(2).public(), hello: pair(claimed).public() };
        assert_eq!(result, if claimed == 2 { Ok(()) } else { Err(mixed_up) });
    }
}
