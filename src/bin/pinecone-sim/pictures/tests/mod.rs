//! What pictures show, read back out of their text.

mod charts;
mod networks;

use pinecone::keys::PublicKey;
use pinecone::rng::Rng;
use pinecone::sim::generate::{Shape, generate};

use super::network::{Network, Place};
use super::over_time::{self, Story};
use super::{PictureError, bars, distribution, scaling, topology};

/// How often an element is there, in a group of a class if one is named.
fn count(svg: &str, class: &str, element: &str) -> usize {
    let part = if class.is_empty() {
        svg.to_owned()
    } else {
        let groups = svg.split("<g ").skip(1).filter(|group| group.starts_with(&format!("class=\"{class}\"")));
        groups.filter_map(|group| group.split("</g>").next()).collect()
    };
    part.matches(&format!("<{element} ")).count()
}

/// Fails unless every element that begins ends, in the right order, and no attribute is there twice.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (inside, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('&') || text.contains(';'), "{text}");
        let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{inside}");
            continue;
        }
        let attributes: Vec<&str> =
            inside.split('"').step_by(2).filter_map(|part| part.trim().strip_suffix('=')).collect();
        let different: std::collections::BTreeSet<_> = attributes.iter().collect();
        assert_eq!(different.len(), attributes.len(), "an attribute twice: {inside}");
        if !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

/// Nodes that all hang below the first, whose key is the highest.
fn star(nodes: usize) -> Network {
    let place = |id: usize| Place {
        key: PublicKey([u8::try_from(200 - id).unwrap(); 32]),
        is_running: true,
        parent: (id > 0).then_some(0),
        lower: (id + 1 < nodes).then_some(id + 1),
        depth: usize::from(id > 0),
    };
    Network {
        name: "a <star> & more".to_owned(),
        seed: 7,
        seconds: 60.0,
        nodes: (0..nodes).map(place).collect(),
        links: (1..nodes).map(|id| (0, id, true)).collect(),
    }
}

fn story() -> Story {
    Story {
        name: "test".to_owned(),
        duration: 20.0,
        by_key: vec![(1.0, 50.0), (10.0, 100.0)],
        by_coordinates: vec![(1.0, 60.0), (10.0, 100.0)],
        traffic: vec![(1.0, 9_000.0), (10.0, 100.0)],
        events: vec![(5.0, "partition: 3 links cut".to_owned()), (12.0, "healed".to_owned())],
    }
}

#[test]
fn a_picture_of_nothing_is_an_error_that_says_so() {
    let nothing = [
        topology::draw(&Network::default()),
        over_time::story(&Story::default()),
        over_time::comparison("Cold start", "", &[]),
        distribution::ways("test", &[], &[]),
        distribution::comparison("Stretch", "", &[]),
        scaling::draw(("State", ""), &[("bytes", Vec::new())]),
        bars::draw(("Crash", ""), ("after", &["1 s"]), &[]),
    ];
    for drawn in nothing {
        let error = drawn.unwrap_err();
        assert!(matches!(error, PictureError::Nothing(_)), "{error:?}");
        assert!(error.to_string().starts_with("there is nothing to draw: "), "{error}");
    }
}

#[test]
fn the_same_data_makes_the_same_bytes() {
    let graph = generate(Shape::Radio { nodes: 120, degree: 7 }, &mut Rng::new([3; 32]));
    let mut network =
        Network { nodes: vec![Place { is_running: true, ..Place::default() }; 120], ..Network::default() };
    network.links = graph.edges().into_iter().map(|(a, b)| (a, b, true)).collect();
    let drawn = topology::draw(&network);
    assert_eq!(drawn, topology::draw(&network.clone()));
    assert_eq!(over_time::story(&story()), over_time::story(&story()));
    network.links.pop();
    assert_ne!(drawn, topology::draw(&network), "one link less");
}
