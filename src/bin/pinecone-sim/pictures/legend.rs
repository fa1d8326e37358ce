//! What the lines and dots in a picture of a network mean.

use super::layout::Point;
use super::style;
use super::svg::{Svg, hex};

/// A row of samples with their meaning, from a place on to the right.
pub(super) fn draw(svg: &mut Svg, (left, y): Point) {
    let mut x = left;
    let entries: [(&str, &str); 4] = [
        (r##"stroke="#b4bac2" stroke-width="1.5""##, "link"),
        (r##"stroke="#c98a8a" stroke-width="1.5" stroke-dasharray="2 4""##, "link that is down"),
        (r##"stroke="#2d3e50" stroke-width="5" stroke-linecap="round""##, "tree: to the parent"),
        (r##"stroke="#287a8e" stroke-width="1.8""##, "snake: to the next lower key"),
    ];
    svg.push(format_args!(r#"<g class="legend" fill="none">"#));
    for (n, (look, meaning)) in entries.into_iter().enumerate() {
        let middle = y - 5.0;
        // The snake's sample is an arc, as in the picture.
        let bend = if n == 3 { 14.0 } else { 0.0 };
        svg.push(format_args!(r#"<path d="M{x:.1} {middle:.1}q15 {:.1} 30 0" {look}/>"#, -bend));
        x = words(svg, (x + 38.0, y), meaning);
    }
    root(svg, (x + 8.0, y - 5.0), 9.0);
    x = words(svg, (x + 24.0, y), "root");
    let hollow = format!(r#"fill="{}" stroke="{}""#, hex(style::PAPER), hex(style::QUIET));
    svg.push(format_args!(r#"<circle cx="{:.1}" cy="{:.1}" r="6" {hollow}/>"#, x + 6.0, y - 5.0));
    x = words(svg, (x + 20.0, y), "stopped");
    x = words(svg, (x + 4.0, y), "lowest key") - 8.0;
    for n in 0..30 {
        let colour = hex(style::gradient(f64::from(n) / 29.0));
        svg.push(format_args!(
            r#"<rect x="{:.1}" y="{:.1}" width="3.3" height="10" fill="{colour}"/>"#,
            x + 3.0 * f64::from(n),
            y - 10.0
        ));
    }
    words(svg, (x + 98.0, y), "highest");
    svg.push(format_args!("</g>"));
}

/// The ring around a root.
pub(super) fn root(svg: &mut Svg, (x, y): Point, radius: f64) {
    let (colour, inner) = (hex(style::ROOT), radius - 3.0);
    svg.push(format_args!(
        r#"<g class="root" fill="none" stroke="{colour}"><circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" stroke-width="3"/><circle cx="{x:.1}" cy="{y:.1}" r="{:.1}" stroke-width="1"/></g>"#,
        inner.max(1.0) + 7.0
    ));
}

/// Words, and where the next entry begins.
fn words(svg: &mut Svg, at: Point, meaning: &str) -> f64 {
    svg.words(at, style::TEXT, style::INK, "", meaning);
    at.0 + style::width(meaning, style::TEXT) + 12.0
}
