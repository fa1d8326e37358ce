use proptest::prelude::*;

use super::*;
use crate::keys::{PublicKey, Seed};
use crate::link::{Link, LinkConfig, LinkEvent};
use crate::time::Instant;
use crate::wire::extensions::Extensions;
use crate::wire::frame;

const NOW: Instant = Instant::ZERO;

fn pair(n: u8) -> Arc<Keypair> {
    Arc::new(Keypair::from_seed(&Seed([n; 32])))
}

fn hello_of(signer: &Keypair, extensions: Extensions) -> [u8; HELLO_LEN] {
    let (extension_version, extensions) = (extensions.version(), extensions.bits());
    Hello { key: signer.public(), extension_version, extensions }.encode(signer)
}

/// A node's end of a link; its nonce depends on `nonce` alone.
fn config(n: u8, side: Side, nonce: u8) -> LinkConfig {
    let keypair = pair(n);
    let own_hello = hello_of(&keypair, Extensions::LINK_PROOF);
    let proof =
        ProofConfig { nonce: [nonce; 32], side, password: PasswordKey::default(), keypair: Arc::clone(&keypair) };
    LinkConfig { proof: Some(proof), ..LinkConfig::plain(own_hello, keypair.public()) }
}

fn dialler() -> LinkConfig {
    config(1, Side::Dialler, 101)
}

fn listener() -> LinkConfig {
    config(2, Side::Listener, 102)
}

/// Everything that `link` has to say.
fn said(link: &mut Link) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| link.poll_transmit()).map(|frame| frame.to_vec()).collect()
}

fn hear(link: &mut Link, bytes: &[u8]) -> Result<(), LinkError> {
    link.read_buffer()[..bytes.len()].copy_from_slice(bytes);
    link.handle_read(bytes.len(), NOW)
}

/// Lets both say everything to each other until nobody has anything more. What each said.
fn talk(a: &mut Link, b: &mut Link) -> Result<[Vec<Vec<u8>>; 2], LinkError> {
    let mut all = [Vec::new(), Vec::new()];
    loop {
        let (from_a, from_b) = (said(a), said(b));
        if from_a.is_empty() && from_b.is_empty() {
            return Ok(all);
        }
        for bytes in &from_a {
            hear(b, bytes)?;
        }
        for bytes in &from_b {
            hear(a, bytes)?;
        }
        all[0].extend(from_a);
        all[1].extend(from_b);
    }
}

/// The key that the link is up with and whether it is proven.
fn up(link: &mut Link) -> Option<(PublicKey, bool)> {
    match link.poll_event()? {
        LinkEvent::Up { key, proven, .. } => Some((key, proven)),
        LinkEvent::Frame(_) => panic!("a frame before the link is up"),
    }
}

/// A channel whose other end proved to be this node.
fn channel(to: u8, binding: u8) -> Carrier {
    Carrier::Channel { key: pair(to).public(), binding: [binding; 32] }
}

#[test]
fn two_nodes_prove_their_keys_to_each_other_over_every_carrier() {
    let plain = [Carrier::Tcp, Carrier::WebSocket, Carrier::Unix].map(|carrier| (carrier, carrier));
    for (ours, theirs) in plain.into_iter().chain([(channel(2, 5), channel(1, 5))]) {
        let mut a = Link::new(LinkConfig { carrier: ours, ..dialler() }, NOW);
        let mut b = Link::new(LinkConfig { carrier: theirs, ..listener() }, NOW);
        talk(&mut a, &mut b).unwrap();
        assert_eq!(up(&mut a), Some((pair(2).public(), true)));
        assert_eq!(up(&mut b), Some((pair(1).public(), true)));
    }
}

#[test]
fn a_plain_node_is_up_without_a_proof_and_shown_as_such() {
    let mut plain = Link::new(LinkConfig::plain(hello_of(&pair(2), Extensions::NONE), pair(2).public()), NOW);
    let mut ours = Link::new(dialler(), NOW);
    let [ours_said, _] = talk(&mut ours, &mut plain).unwrap();
    assert_eq!(ours_said.len(), 1, "a plain node must see nothing but the hello");
    assert_eq!(up(&mut ours), Some((pair(2).public(), false)));
}

#[test]
fn nothing_counts_before_the_proof() {
    let mut a = Link::new(dialler(), NOW);
    hear(&mut a, &hello_of(&pair(2), Extensions::LINK_PROOF)).unwrap();
    hear(&mut a, &frame::keepalive()).unwrap();
    let announcement = frame::announcement(&[7; 300]).unwrap();
    assert_eq!(hear(&mut a, &announcement), Err(LinkError::BeforeProof));
    assert!(a.poll_event().is_none());
    // Also if it stands behind something that is refused for another reason.
    let mut a = Link::new(dialler(), NOW);
    hear(&mut a, &hello_of(&pair(2), Extensions::LINK_PROOF)).unwrap();
    let proof = LinkMessage::Proof { signature: [0; 64], check: [0; 32] }.encode();
    assert_eq!(hear(&mut a, &[&proof[..], &announcement].concat()), Err(LinkError::BeforeProof), "before a challenge");
    assert!(a.poll_event().is_none());
}

#[test]
fn the_beginning_of_a_long_frame_is_enough_to_end_a_link_that_has_proven_nothing() {
    let mut a = Link::new(dialler(), NOW);
    hear(&mut a, &hello_of(&pair(2), Extensions::LINK_PROOF)).unwrap();
    let announcement = frame::announcement(&[7; 60_000]).unwrap();
    assert_eq!(hear(&mut a, &announcement[..10]), Err(LinkError::BeforeProof));
}

#[test]
fn a_recorded_conversation_does_not_bring_up_another_link() {
    let [_, recorded] = talk(&mut Link::new(dialler(), NOW), &mut Link::new(listener(), NOW)).unwrap();
    let mut victim = Link::new(config(1, Side::Dialler, 103), NOW);
    let result = recorded.iter().try_for_each(|bytes| hear(&mut victim, bytes));
    assert_eq!(result, Err(LinkError::NotProven(pair(2).public())));
    assert!(up(&mut victim).is_none());
}

#[test]
fn a_challenge_that_is_sent_back_is_refused_and_so_is_our_own_proof() {
    let mut victim = Link::new(dialler(), NOW);
    let hello = hello_of(&pair(2), Extensions::LINK_PROOF);
    hear(&mut victim, &hello).unwrap();
    let challenge = said(&mut victim).pop().unwrap();
    assert_eq!(hear(&mut victim, &challenge), Err(LinkError::Reflected));

    let mut victim = Link::new(dialler(), NOW);
    hear(&mut victim, &hello).unwrap();
    hear(&mut victim, &LinkMessage::Challenge([9; 32]).encode()).unwrap();
    let own_proof = said(&mut victim).pop().unwrap();
    assert_eq!(hear(&mut victim, &own_proof), Err(LinkError::NotProven(pair(2).public())));
}

#[test]
fn what_a_node_proves_to_somebody_is_worth_nothing_to_a_third() {
    // The one in between has the key 3. It wants 1 to believe that it is 2, and has a peering with 2 under its own name.
    let mut victim = Link::new(dialler(), NOW);
    let mut honest = Link::new(listener(), NOW);
    let hello_of_2 = said(&mut honest).remove(0);
    hear(&mut victim, &hello_of_2).unwrap();
    let challenge = said(&mut victim).pop().unwrap();
    hear(&mut honest, &hello_of(&pair(3), Extensions::LINK_PROOF)).unwrap();
    hear(&mut honest, &challenge).unwrap();
    let answers = said(&mut honest);
    let result = answers.iter().try_for_each(|bytes| hear(&mut victim, bytes));
    assert_eq!(result, Err(LinkError::NotProven(pair(2).public())));
}

#[test]
fn two_nodes_that_were_both_dialled_cannot_be_joined_by_who_dialled_them() {
    let mut a = Link::new(LinkConfig { ..config(1, Side::Listener, 101) }, NOW);
    let mut b = Link::new(listener(), NOW);
    assert!(matches!(talk(&mut a, &mut b), Err(LinkError::NotProven(_))));
}

#[test]
fn both_sides_have_to_see_the_same_carrier_and_the_same_channel() {
    for (ours, theirs) in [
        (Carrier::Tcp, Carrier::WebSocket),
        (Carrier::Unix, Carrier::Tcp),
        (channel(2, 1), channel(1, 2)),
        (channel(2, 0), Carrier::Tcp),
    ] {
        let mut a = Link::new(LinkConfig { carrier: ours, ..dialler() }, NOW);
        let mut b = Link::new(LinkConfig { carrier: theirs, ..listener() }, NOW);
        assert!(matches!(talk(&mut a, &mut b), Err(LinkError::NotProven(_))), "{ours:?} {theirs:?}");
    }
}

#[test]
fn extensions_cannot_be_taken_away_by_who_is_in_between() {
    // 2 once announced less, and that hello was recorded.
    let old_hello = hello_of(&pair(2), Extensions::LINK_PROOF);
    let new_hello = hello_of(&pair(2), Extensions::LINK_PROOF.and(Extensions::ROUTE_NOTICES));
    let mut victim = Link::new(dialler(), NOW);
    let mut honest = Link::new(LinkConfig { own_hello: new_hello, ..listener() }, NOW);
    assert_eq!(said(&mut honest), [new_hello]);
    hear(&mut victim, &old_hello).unwrap();
    assert!(matches!(talk(&mut victim, &mut honest), Err(LinkError::NotProven(_))));
}

#[test]
fn passwords_have_to_be_the_same_on_both_sides() {
    let with = |config: LinkConfig, password: &str| {
        let mut config = config;
        if let Some(proof) = &mut config.proof {
            proof.password = PasswordKey::of(password);
        }
        Link::new(config, NOW)
    };
    let mut a = with(dialler(), "correct horse battery");
    talk(&mut a, &mut with(listener(), "correct horse battery")).unwrap();
    assert_eq!(up(&mut a), Some((pair(2).public(), true)));
    let others = [with(listener(), "another horse battery"), Link::new(listener(), NOW)];
    for mut other in others {
        let result = talk(&mut with(dialler(), "correct horse battery"), &mut other);
        assert!(matches!(result, Err(LinkError::WrongPassword)));
    }
    // Who dials without it learns nothing to test guesses against, but that there is one.
    let (mut a, mut b) = (Link::new(dialler(), NOW), with(listener(), "correct horse battery"));
    let hellos = (said(&mut a).concat(), said(&mut b).concat());
    hear(&mut a, &hellos.1).unwrap();
    hear(&mut b, &hellos.0).unwrap();
    let challenges = (said(&mut a).concat(), said(&mut b).concat());
    hear(&mut b, &challenges.0).unwrap();
    assert_eq!(said(&mut b), Vec::<Vec<u8>>::new(), "the listener holds its proof back");
    hear(&mut a, &challenges.1).unwrap();
    assert_eq!(hear(&mut b, &said(&mut a).concat()), Err(LinkError::WrongPassword));
    assert!(b.poll_transmit().is_none());
    let mut guarded = with(dialler(), "correct horse battery");
    assert_eq!(hear(&mut guarded, &hello_of(&pair(2), Extensions::NONE)), Err(LinkError::NoPassword));
}

#[test]
fn the_proof_has_what_is_left_of_the_hello_s_time() {
    let at = |millis: u64| Instant::from_micros(millis * 1000);
    let mut link = Link::new(dialler(), at(0));
    let hello = hello_of(&pair(2), Extensions::LINK_PROOF);
    link.read_buffer()[..HELLO_LEN].copy_from_slice(&hello);
    link.handle_read(HELLO_LEN, at(9_000)).unwrap();
    assert_eq!(link.handle_timeout(at(9_999)), Ok(()));
    assert_eq!(link.handle_timeout(at(10_000)), Err(LinkError::ProofTimeout));
}

#[test]
fn passwords_are_not_printed() {
    assert_eq!(format!("{:?}", PasswordKey::of("hunter2")), "PasswordKey(..)");
}

proptest! {
    #[test]
    fn nobody_gets_up_with_a_message_that_was_changed_anywhere(
        message in 0usize..3, place in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let (mut a, mut b) = (Link::new(dialler(), NOW), Link::new(listener(), NOW));
        let mut heard = 0;
        'talk: loop {
            let (from_a, from_b) = (said(&mut a), said(&mut b));
            if from_a.is_empty() && from_b.is_empty() {
                break;
            }
            for bytes in from_a {
                // What a makes of it is what counts.
                let _ = hear(&mut b, &bytes);
            }
            for mut bytes in from_b {
                if heard == message {
                    let at = place.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
                heard += 1;
                if hear(&mut a, &bytes).is_err() {
                    break 'talk;
                }
            }
        }
        // What the receiver never looks at (version, extra and hop limit of a link message's header) may change; everything else must not.
        let ignored = message > 0 && matches!(place.index(if message == 1 { 42 } else { 106 }), 4 | 6 | 7);
        if !ignored {
            prop_assert!(up(&mut a).is_none());
        }
    }
}
