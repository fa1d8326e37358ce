//! Charts: a figure is a title, a legend and some panels, and a panel is two axes and what is drawn between them.
//!
//! Whoever wants a chart fills these in; only this file and [`super::panel`] know `plotters`. Many graphs become many small panels with the
//! same axes, side by side: twenty curves in one panel cannot be told apart.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, TextStyle};

use super::axis::Axis;
use super::style::{self, Colour};
use super::{PictureError, svg};

/// A picture of one or more panels.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// Colour and meaning.
    pub(crate) legend: Vec<(Colour, String)>,
    pub(crate) panels: Vec<Panel>,
    /// Panels in a row, and the width and height of each.
    pub(crate) columns: usize,
    pub(crate) panel_size: (i32, i32),
}

/// Two axes and what is between them.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// In the order in which it is drawn.
    pub(crate) items: Vec<Item>,
    /// What happened when: vertical lines with words above.
    pub(crate) events: Vec<(f64, String)>,
}

/// Something in a panel, in the numbers of its axes.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A curve, and how thick it is.
    Line(Colour, u32, Vec<(f64, f64)>),
    /// What lies between a lower and an upper curve.
    Band(Colour, Vec<(f64, f64)>, Vec<(f64, f64)>),
    /// From the bottom to a height, between two places.
    Bar(Colour, (f64, f64), f64),
    /// A point, filled or hollow.
    Dot(Colour, bool, (f64, f64)),
}

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Panels of many graphs: as wide as a page, and in as few rows as one can still read.
pub(crate) fn small_panels(count: usize) -> (usize, (i32, i32)) {
    match count {
        0 | 1 => (1, (860, 420)),
        2 => (2, (480, 340)),
        3..=9 => (3, (350, 270)),
        _ => (4, (290, 250)),
    }
}

const MARGIN: i32 = 24;
const HEAD: i32 = 104;

/// The legend of all pictures that compare the routers.
pub(crate) fn routers() -> Vec<(Colour, String)> {
    vec![
        (style::STRICT, "strict: the reference's rules".to_owned()),
        (style::IMPROVED, "improved: what the daemon runs".to_owned()),
    ]
}

impl Figure {
    /// A picture that compares the routers on several graphs, a panel for each.
    pub(super) fn of_routers(title: &str, subtitle: &str, panels: Vec<Panel>) -> Self {
        let (columns, panel_size) = small_panels(panels.len());
        Self { title: title.to_owned(), subtitle: subtitle.to_owned(), legend: routers(), panels, columns, panel_size }
    }

    /// The picture.
    pub(crate) fn draw(&self) -> Result<String, PictureError> {
        if self.panels.is_empty() {
            return Err(PictureError::Nothing(format!("no results for {:?}", self.title)));
        }
        let columns = self.columns.max(1);
        let rows = self.panels.len().div_ceil(columns) as i32;
        let width = 2 * MARGIN + columns as i32 * self.panel_size.0;
        let height = HEAD + rows * self.panel_size.1 + MARGIN / 2;
        let mut text = String::new();
        let failed = |why: String| PictureError::Chart { title: self.title.clone(), why };
        self.draw_into(&mut text, (width as u32, height as u32)).map_err(failed)?;
        Ok(svg::titled(&text, &format!("{}. {}", self.title, self.subtitle)))
    }

    fn draw_into(&self, text: &mut String, size: (u32, u32)) -> Result<(), String> {
        let area = SVGBackend::with_string(text, size).into_drawing_area();
        area.fill(&rgb(style::PAPER)).map_err(|error| error.to_string())?;
        self.head(&area)?;
        let columns = self.columns.max(1);
        for (n, panel) in self.panels.iter().enumerate() {
            let at =
                (MARGIN + (n % columns) as i32 * self.panel_size.0, HEAD + (n / columns) as i32 * self.panel_size.1);
            panel.draw(&area.clone().shrink(at, self.panel_size))?;
        }
        area.present().map_err(|error| error.to_string())
    }

    fn head(&self, area: &Area<'_>) -> Result<(), String> {
        words(area, (MARGIN, 16), style::TITLE, style::INK, FontStyle::Bold, &self.title)?;
        words(area, (MARGIN, 42), style::TEXT, style::QUIET, FontStyle::Normal, &self.subtitle)?;
        let mut x = MARGIN;
        for (colour, meaning) in &self.legend {
            let patch = Rectangle::new([(x, 72), (x + 18, 84)], rgb(*colour).filled());
            area.draw(&patch).map_err(|error| error.to_string())?;
            words(area, (x + 25, 70), style::TEXT, style::INK, FontStyle::Normal, meaning)?;
            x += 25 + style::width(meaning, style::TEXT) as i32 + 12;
        }
        Ok(())
    }
}

pub(super) const fn rgb((red, green, blue): Colour) -> RGBColor {
    RGBColor(red, green, blue)
}

/// A font of this many pixels: the backend divides by 1.24, which is what it takes a font's line height for.
pub(super) fn font(size: f64, colour: Colour, weight: FontStyle) -> TextStyle<'static> {
    (style::FONT, size * 1.24, weight).into_font().color(&rgb(colour)).pos(Pos::new(HPos::Left, VPos::Top))
}

/// Words whose upper left corner is at a place.
pub(super) fn words(
    area: &Area<'_>,
    at: (i32, i32),
    size: f64,
    colour: Colour,
    weight: FontStyle,
    text: &str,
) -> Result<(), String> {
    area.draw(&Text::new(text.to_owned(), at, font(size, colour, weight))).map_err(|error| error.to_string())
}

/// A dot in pixels.
pub(super) fn dot(area: &Area<'_>, at: (i32, i32), colour: Colour, filled: bool) -> Result<(), String> {
    // A white rim keeps dots apart that lie on each other.
    let rim = Circle::new(at, 6, rgb(style::PAPER).filled());
    let dot = if filled {
        Circle::new(at, 5, rgb(colour).mix(0.85).filled())
    } else {
        Circle::new(at, 4, rgb(colour).stroke_width(2))
    };
    area.draw(&rim).and_then(|()| area.draw(&dot)).map_err(|error| error.to_string())
}
