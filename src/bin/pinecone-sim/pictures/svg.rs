//! SVG as text: escaping, numbers, and what a picture says about itself to those who do not see it.

use std::fmt::Write as _;

use super::style::{self, Colour, FONT};

/// A document that grows.
#[derive(Debug)]
pub(crate) struct Svg {
    text: String,
}

impl Svg {
    /// An empty white picture with a title.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { text: String::new() };
        svg.push(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="img" font-family="{FONT}">"#
        ));
        svg.push(format_args!("<title>{}</title>", escape(title)));
        svg.push(format_args!(r#"<rect width="100%" height="100%" fill="{}"/>"#, hex(style::PAPER)));
        svg
    }

    /// Adds a line.
    pub(crate) fn push(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// Adds a text that begins, is centred or ends at x, as `anchor` says, on the line y.
    pub(crate) fn words(&mut self, (x, y): (f64, f64), size: f64, colour: Colour, attributes: &str, text: &str) {
        let (colour, text) = (hex(colour), escape(text));
        self.push(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}" {attributes}>{text}</text>"#
        ));
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> String {
        self.text += "</svg>\n";
        self.text
    }
}

/// `#rrggbb`.
pub(crate) fn hex((red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Text as it may stand in an element or an attribute.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Gives a picture of `plotters` the title that viewers show and screen readers say.
pub(crate) fn titled(svg: &str, title: &str) -> String {
    match svg.split_once('>') {
        Some((tag, rest)) => format!("{tag} role=\"img\">\n<title>{}</title>{rest}", escape(title)),
        None => svg.to_owned(),
    }
}
