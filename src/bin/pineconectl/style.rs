//! Colours: only on a terminal, and not if `NO_COLOR` is set (no-color.org) or the terminal is a dumb one.

use std::io::IsTerminal;

/// Whether standard output takes colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style(bool);

impl Style {
    /// As standard output and the environment are.
    pub(crate) fn of_stdout() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb)
    }

    /// Whether there are colours.
    #[cfg(feature = "tui")]
    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    /// Good news.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// News to look at.
    pub(crate) fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Bad news.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31;1", text)
    }

    /// ECMA-48 select graphic rendition.
    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_put_on_and_taken_off_or_left_out() {
        assert_eq!(Style(true).bad("no"), "\x1b[31;1mno\x1b[0m");
        assert_eq!(Style(false).bad("no") + &Style::plain().good("yes") + &Style(false).odd("?"), "noyes?");
    }
}
