//! The little of man(7) that pages are written in.

/// Text as it is, in a paragraph.
pub(crate) fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
    let lines = text.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.into() });
    lines.collect::<Vec<String>>().join("\n")
}

/// The title line.
pub(crate) fn title(name: &str, section: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {} {section} \"\" \"pineconed {version}\" \"pineconed\"\n", escape(name))
}

/// A heading.
pub(crate) fn section(name: &str) -> String {
    format!(".SH {}\n", quoted(&name.to_uppercase()))
}

/// A paragraph.
pub(crate) fn paragraph(text: &str) -> String {
    format!(".PP\n{}\n", escape(text))
}

/// A term and what it means.
pub(crate) fn term(term: &str, meaning: &str) -> String {
    format!(".TP\n.B {}\n{}\n", quoted(term), escape(meaning))
}

/// Lines as they are, in a fixed width.
pub(crate) fn literal(lines: &[&str]) -> String {
    format!(".IP\n.nf\n{}\n.fi\n", escape(&lines.join("\n")))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text).replace('"', "\\(dq"))
}
