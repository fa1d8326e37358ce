//! How all pictures look: colours, sizes of text, and how wide a text is.
//!
//! The colours are Okabe and Ito's and ColorBrewer's, which people who see fewer colours tell apart too, and none is so light that a line
//! of it gets lost on white. A colour means the same in all pictures.

/// Red, green, blue.
pub(crate) type Colour = (u8, u8, u8);

/// Text and axes.
pub(crate) const INK: Colour = (38, 44, 52);
/// Text that stands back.
pub(crate) const QUIET: Colour = (96, 105, 116);
/// Grid lines.
pub(crate) const GRID: Colour = (228, 231, 235);
/// Behind everything, so that it can be read in a dark window too.
pub(crate) const PAPER: Colour = (255, 255, 255);
/// The strict router.
pub(crate) const STRICT: Colour = (213, 94, 0);
/// The improved router.
pub(crate) const IMPROVED: Colour = (0, 114, 178);
/// First contact, by key alone.
pub(crate) const BY_KEY: Colour = (123, 50, 148);
/// By coordinates.
pub(crate) const BY_COORDINATES: Colour = (0, 136, 100);
/// Traffic, and whatever stands alone.
pub(crate) const ALONE: Colour = (0, 114, 178);
/// Something happens.
pub(crate) const EVENT: Colour = (110, 110, 118);
/// The root of the tree.
pub(crate) const ROOT: Colour = (204, 51, 17);
/// The tree.
pub(crate) const TREE: Colour = (45, 62, 80);

/// Every system has it, and browsers take their own.
pub(crate) const FONT: &str = "sans-serif";
/// Size of a figure's title.
pub(crate) const TITLE: f64 = 21.0;
/// Size of what is said below it, and of legends.
pub(crate) const TEXT: f64 = 14.5;
/// Size of numbers at axes, and of other labels.
pub(crate) const LABEL: f64 = 13.0;

/// What stands for one of the two routers, by its name.
pub(crate) fn router(mode: &str) -> Colour {
    if mode == "strict" { STRICT } else { IMPROVED }
}

/// How thick its curves are: the strict router's are drawn first, and where both are the same they look out from below the other's.
pub(crate) fn thickness(mode: &str) -> u32 {
    if mode == "strict" { 3 } else { 2 }
}

/// As much of a text as there is room for.
pub(crate) fn fitted(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut short = text.to_owned();
    while !short.is_empty() && width(&short, size) + size > room {
        short.pop();
    }
    short + "…"
}

/// A bold title with as much of its beginning as there is room for, and all that stands behind its last comma: how many nodes there are.
pub(crate) fn fitted_title(title: &str, size: f64, room: f64) -> String {
    /// Bold letters are wider.
    const BOLD: f64 = 1.16;
    let (name, rest) = title.rfind(", ").map_or((title, ""), |comma| title.split_at(comma));
    fitted(name, BOLD * size, room - width(rest, BOLD * size)) + rest
}

/// About how wide a text is: no fonts are read, and viewers choose theirs. Rather too wide than too narrow.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if "ilj.,:;|!' ".contains(c) { 0.34 } else { 0.6 }).sum::<f64>() * size
}

/// Viridis, without the end that is too light for white paper: `share` of 0 is dark violet, 1 a light green.
pub(crate) fn gradient(share: f64) -> Colour {
    const STOPS: [Colour; 6] =
        [(68, 1, 84), (65, 68, 135), (42, 120, 142), (34, 168, 132), (112, 200, 84), (186, 214, 40)];
    let at = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (at as usize).min(STOPS.len() - 2);
    let mix = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * (at - below as f64)).round() as u8;
    let (a, b) = (STOPS[below], STOPS[below + 1]);
    (mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}
