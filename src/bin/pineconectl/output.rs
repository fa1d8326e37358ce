//! Standard output and tables.

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use crate::error::{CommandError, Kind};

/// Prints text.
pub(crate) fn text(text: &str) -> Result<(), CommandError> {
    more(text).map(|_| ())
}

/// Prints text; false if nobody reads any more.
pub(crate) fn more(text: &str) -> Result<bool, CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough: `pineconectl snake | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CommandError::new(Kind::Failure, format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(true),
    }
}

/// Prints one JSON document.
pub(crate) fn json(document: &impl Serialize) -> Result<(), CommandError> {
    let document = serde_json::to_string_pretty(document)
        .map_err(|error| CommandError::new(Kind::Failure, format!("cannot print the answer as JSON: {error}")))?;
    text(&(document + "\n"))
}

/// Prints one JSON document in one line; false if nobody reads any more.
pub(crate) fn json_line(document: &impl Serialize) -> Result<bool, CommandError> {
    let document = serde_json::to_string(document)
        .map_err(|error| CommandError::new(Kind::Failure, format!("cannot print the answer as JSON: {error}")))?;
    more(&(document + "\n"))
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Words.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table with a heading line and two spaces between columns; `empty` if it has no rows.
pub(crate) fn table(columns: &[Column], rows: Vec<Vec<String>>, empty: &str) -> String {
    if rows.is_empty() {
        return format!("{empty}\n");
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(title) => Cell::new(title),
        Column::Right(title) => Cell::new(title).set_alignment(CellAlignment::Right),
    }));
    for row in rows {
        table.add_row(row.iter().map(|text| printable(text)));
    }
    finish(table, columns)
}

/// Names and values, one pair per line.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in pairs {
        table.add_row([(*name).to_owned(), printable(value)]);
    }
    finish(table, &[])
}

fn finish(mut table: Table, columns: &[Column]) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if matches!(columns.get(index), Some(Column::Right(_))) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Some of this text comes from peers; none of it gets to steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_have_no_trailing_spaces() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["bcd".to_owned(), "234".to_owned()]];
        let text = table(&[Column::Left("NAME"), Column::Right("N")], rows, "none");
        assert_eq!(text, "NAME    N\na       1\nbcd   234\n");
        assert_eq!(table(&[Column::Left("NAME")], Vec::new(), "there are none"), "there are none\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(pairs(&[("why", "bad\u{1b}[2Jpeer\n".to_owned())]), "why  bad?[2Jpeer?\n");
    }
}
