//! Files of pictures, and the report that shows them.

use pinecone::sim::play::{generated, play};
use pinecone::sim::scenario::Scenario;

use crate::bench::Line;
use crate::report;

/// A line of a results file as benches have written them from the first one on.
fn line(mode: &str, experiment: &str, measured: &str) -> Line {
    let line = format!(
        r#"{{"set":"small","experiment":"{experiment}","graph":"line-00050","mode":"{mode}","seed":1,"nodes":50,"took":0.3,"measured":{measured}}}"#
    );
    serde_json::from_str(&line).unwrap()
}

fn lines() -> Vec<Line> {
    let lifecycle = r#"{"values":{"state_bytes_mean":10.0,"state_bytes_max":20.0,"idle_bytes_per_s_mean":3.0,"idle_bytes_per_s_max":5.0},
        "series":{"settling":[[1.0,50.0],[2.0,100.0]],"stretch":[[1.0,50.0],[2.0,100.0]],"first_stretch":[[1.0,20.0],[3.0,100.0]]}}"#;
    let crash = r#"{"values":{"first_0.2s_pct":10.0,"first_1s_pct":20.0,"first_5s_pct":30.0,"first_30s_pct":40.0},"series":{}}"#;
    let of = |mode| [line(mode, "lifecycle", lifecycle), line(mode, "crash", crash)];
    ["strict", "improved"].into_iter().flat_map(of).collect()
}

#[test]
fn a_report_shows_the_pictures_for_which_there_are_results_and_keeps_what_people_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quality.md");
    std::fs::write(&path, "Before\n<!-- results: begin -->\noutdated\n<!-- results: end -->\nAfter\n").unwrap();
    report::write(&path, &lines()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("Before\n") && text.ends_with("-->\nAfter\n") && !text.contains("outdated"), "{text}");
    let mut files: Vec<_> = std::fs::read_dir(directory.path().join("quality"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["crash.svg", "first-stretch.svg", "settling.svg", "state.svg", "stretch.svg"]);
    for file in &files {
        assert!(text.contains(&format!("with both routers](quality/{file})")), "{file}: {text}");
    }
    assert_eq!(text.matches("![").count(), files.len(), "and no others");
    report::write(&path, &lines()).unwrap();
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "written again, it is the same");
}

#[test]
fn a_report_whose_pictures_would_need_a_directory_of_its_own_name_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = report::write(&directory.path().join("quality"), &lines()).unwrap_err();
    assert!(error.to_string().contains("has no extension"), "{error}");
}

#[test]
fn a_scenario_leaves_three_pictures_in_a_directory_that_is_made_for_them() {
    let scenario = "duration = 10\nsignatures = \"fast\"\n[topology]\ngenerate = { kind = \"ring\", nodes = 12 }";
    let scenario = Scenario::parse(scenario).unwrap();
    let played = play(&scenario, &[generated(&scenario).unwrap()], None, |_| {}).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b");
    super::scenario(&deep, "ring", &scenario, &played).unwrap();
    for file in ["topology.svg", "delivery.svg", "stretch.svg"] {
        let svg = std::fs::read_to_string(deep.join(file)).unwrap();
        assert!(svg.contains("ring") && svg.ends_with("</svg>\n"), "{file}: {svg}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = super::create(&file.path().join("pictures")).unwrap_err();
    assert!(format!("{error:#}").contains(&file.path().display().to_string()), "{error:#}");
}
