//! pineconed.toml(5), from the comments of `config.example.toml`: that file is tested against the program, so the page is true too.

use crate::roff::{literal, paragraph, section, term, title};

/// The page.
pub(crate) fn page(example: &str) -> String {
    let mut page = title("pineconed.toml", 5);
    page += &section("Name");
    page += "pineconed.toml \\- configuration of pineconed(8)\n";
    page += &section("Synopsis");
    page += "/etc/pinecone/pineconed.toml\n";
    page += &section("Description");
    let mut comment: Vec<&str> = Vec::new();
    for line in example.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push(text.strip_prefix(' ').unwrap_or(text));
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            page += &body(&std::mem::take(&mut comment));
            page += &section(&format!("[{name}]"));
        } else if let Some((key, default)) = line.split_once(" = ") {
            page += &term(&format!("{key} = {default}"), "");
            page += &indented(&body(&std::mem::take(&mut comment)));
        } else if !comment.is_empty() {
            page += &body(&std::mem::take(&mut comment));
        }
    }
    page += &section("Files");
    page += &term("/etc/pinecone/pineconed.toml", "The file that the daemon reads unless it is told another one.");
    page += &section("See also");
    page += "pineconed(8), pineconectl(1)\n";
    page
}

/// Comment lines: text in paragraphs, and what is set further in (lists, examples) as it is.
fn body(lines: &[&str]) -> String {
    let mut text = String::new();
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let is_literal = first.starts_with("  ");
        let len = rest.iter().take_while(|line| line.starts_with("  ") == is_literal && !line.is_empty()).count();
        let (block, after) = rest.split_at(len.max(1));
        text += &match (first.is_empty(), is_literal) {
            (true, _) => String::new(),
            (false, true) => literal(block),
            (false, false) => paragraph(&block.join("\n")),
        };
        rest = after;
    }
    text
}

/// Paragraphs under a term.
fn indented(text: &str) -> String {
    format!(".RS\n{text}.RE\n")
}
