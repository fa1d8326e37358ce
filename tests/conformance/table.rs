//! The conformance table names the test that holds each rule. A name that no test has would be an empty promise.

/// Where the table is, from the root of the package.
const TABLE: &str = "docs/pinecone-compatibility.md";

/// Everything of the form `path/to/file.rs::name` in backticks.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.split_once("::")).filter(|(file, _)| file.ends_with(".rs")).collect()
}

#[test]
fn every_test_that_the_table_names_exists() {
    let root = env!("CARGO_MANIFEST_DIR");
    let table = std::fs::read_to_string(format!("{root}/{TABLE}")).unwrap();
    let named = named_tests(&table);
    assert!(named.len() > 50, "only {} names found", named.len());
    for (file, name) in named {
        let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {name}(")), "{file} has no test {name}");
    }
}

#[test]
fn the_table_speaks_of_every_section_and_every_pitfall() {
    let table = std::fs::read_to_string(format!("{}/{TABLE}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for section in 1..=16 {
        assert!(table.contains(&format!("\n## §{section} ")), "section {section} is missing");
    }
    for pitfall in 1..=26 {
        assert!(table.contains(&format!("\n| {pitfall} | ")), "pitfall {pitfall} is missing");
    }
}
