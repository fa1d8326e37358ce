//! One error for everything that can be wrong in a configuration, with the place where it is.
//!
//! Its text is meant for the person who wrote the file: `file:line:column: key: what is wrong; what to write`. Lines of the
//! file are not repeated in it, because a line may hold a secret.

use std::fmt;
use std::ops::Range;

/// A place in the file, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

/// What is wrong in a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file's name, as it was given.
    pub file: String,
    /// Where in the file.
    pub position: Option<Position>,
    /// The key, with its section: `peering.peers[1]`; none for a syntax error.
    pub key: Option<String>,
    /// What is wrong and what to write.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ": {key}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl ConfigError {
    /// The text is not TOML.
    pub(super) fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let message = format!("not valid TOML: {}", one_line(error.message()));
        Self { file: file.to_owned(), position: position(text, error.span()), key: None, message }
    }

    /// A key is unknown or its value cannot be.
    pub(super) fn value(file: &str, text: &str, error: &serde_path_to_error::Error<toml::de::Error>) -> Self {
        let inner = error.inner();
        let path = error.path().to_string();
        let key = (path != ".").then_some(path);
        let message = unknown_key(inner.message()).unwrap_or_else(|| in_plain_words(inner.message()));
        Self { file: file.to_owned(), position: position(text, inner.span()), key, message }
    }
}

fn position(text: &str, span: Option<Range<usize>>) -> Option<Position> {
    let before = text.get(..span?.start)?;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    Some(Position { line, column: before.get(line_start..)?.chars().count() + 1 })
}

/// Serde's "unknown field `x`, expected one of `a`, `b`" as a sentence with the nearest of the known keys.
fn unknown_key(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let nearest = known.iter().map(|key| (distance(unknown, key), *key)).min();
    // A third of the letters wrong is a slip; more is another word.
    let hint = match nearest {
        Some((distance, key)) if distance <= key.chars().count().div_ceil(3) => format!("did you mean `{key}`?"),
        _ => format!("known here: {}", known.join(", ")),
    };
    Some(format!("unknown key; {hint}"))
}

/// Serde's words for programmers in words for everybody.
fn in_plain_words(message: &str) -> String {
    let message = one_line(message);
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} is missing");
    }
    if let Some((found, known)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("{found} is not {known}");
    }
    let message =
        message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: ")).unwrap_or(&message);
    match message.split_once(", expected ") {
        Some((found, expected)) => {
            let found = found.replace("integer `", "number `").replace("floating point `", "number `");
            let found = match found.as_str() {
                "map" => "a table".to_owned(),
                "sequence" => "a list".to_owned(),
                other => format!("the {}", other.split(" as i").next().unwrap_or_default()),
            };
            let expected = match expected {
                "a boolean" => "true or false",
                "a sequence" => "a list in brackets: [\"…\"]",
                "a string" | "path string" => "a string in quotes",
                other => other,
            };
            format!("this is {found}; it must be {expected}")
        }
        None => message.to_owned(),
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Edits (insert, delete, replace, swap neighbours) between two short words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(swap)
            };
        }
    }
    rows[a.len()][b.len()]
}
