//! Charts.

use super::{assert_well_formed, count, story};
use crate::pictures::scaling::{self, Point};
use crate::pictures::{bars, distribution, over_time, style};

#[test]
fn delivery_shows_both_ways_and_names_what_happened() {
    let svg = over_time::story(&story()).unwrap();
    assert_well_formed(&svg);
    for words in ["partition: 3 links cut", "healed", "by key: first contact", "by coordinates", "seconds"] {
        assert!(svg.contains(words), "{words}");
    }
    assert_eq!(svg.matches("stroke=\"#7B3294\"").count(), 1, "one curve by key");
}

#[test]
fn comparisons_have_a_panel_for_each_graph_and_a_mark_for_each_router() {
    let runs = || {
        vec![
            ("strict".to_owned(), vec![vec![(1.0, 20.0), (9.0, 100.0)]]),
            ("improved".to_owned(), vec![vec![(1.0, 90.0), (3.0, 100.0)]]),
        ]
    };
    let graphs: Vec<_> = (0..5).map(|n| (format!("graph-{n}"), runs())).collect();
    for svg in [over_time::comparison("Cold start", "", &graphs), distribution::comparison("Stretch", "", &graphs)] {
        let svg = svg.unwrap();
        assert_well_formed(&svg);
        assert!((0..5).all(|n| svg.contains(&format!("graph-{n}"))));
        let curves = |colour: &str| svg.matches(&format!("stroke=\"{colour}\"")).count();
        assert_eq!((curves("#D55E00"), curves("#0072B2")), (5, 5));
    }
    let groups = |n: usize| {
        (
            format!("graph-{n}"),
            vec![("strict".to_owned(), vec![10.0, 90.0]), ("improved".to_owned(), vec![50.0, 100.0])],
        )
    };
    let svg = bars::draw(("Crash", ""), ("after", &["1 s", "5 s"]), &[groups(0), groups(1)]).unwrap();
    assert_well_formed(&svg);
    // Two bars in each of two panels, and a patch in the legend.
    assert_eq!(svg.matches("fill=\"#D55E00\"").count(), 5);
}

#[test]
fn every_size_has_a_dot_for_the_mean_and_one_for_the_most() {
    let point =
        |mode: &str, nodes| Point { mode: mode.to_owned(), nodes, mean: nodes as f64, most: 2.0 * nodes as f64 };
    let points = vec![point("strict", 50), point("strict", 1_000), point("improved", 50)];
    let svg = scaling::draw(("State", ""), &[("bytes", points)]).unwrap();
    assert_well_formed(&svg);
    // Each dot has a rim.
    assert_eq!(count(&svg, "", "circle"), 3 * 2 * 2);
    assert!(svg.contains("strict as n to the 1.00") && !svg.contains("improved as"));
}

#[test]
fn a_title_that_is_too_long_keeps_its_number_of_nodes_and_stays_within_its_panel() {
    let title = "freifunk-cologne-bonn-area, n = 279";
    let fitted = style::fitted_title(title, 14.0, 230.0);
    assert!(fitted.starts_with("freifunk-c") && fitted.ends_with("…, n = 279"), "{fitted}");
    assert!(style::width(&fitted, 14.0) < 230.0);
    assert_eq!(style::fitted_title("dn42, n = 261", 14.0, 230.0), "dn42, n = 261");
}
