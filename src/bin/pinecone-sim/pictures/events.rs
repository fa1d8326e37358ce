//! What happened, above a chart and across it: vertical lines, with words in rows so that none lies on another.

use plotters::element::{PathElement, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle};

use super::chart::{Area, font, rgb};
use super::style;

/// Height of a row of words, in pixels.
const ROW: i32 = 17;
/// More rows would take the room of the chart.
const MOST_ROWS: usize = 4;

/// Where all of them are drawn.
#[derive(Debug)]
pub(super) struct Events<'a>(Vec<Event<'a>>);

#[derive(Debug)]
struct Event<'a> {
    /// Its line.
    x: f64,
    what: &'a str,
    /// What the words span: to the right of the line, or where that would leave the picture to the left.
    words: (f64, f64),
    /// From above; none where no row has room for the words.
    row: Option<usize>,
}

impl<'a> Events<'a> {
    /// Of events at pixels, in the order of time, in a panel of this width.
    pub(super) fn new(events: impl IntoIterator<Item = (f64, &'a str)>, width: f64) -> Self {
        let mut placed: Vec<Event<'a>> = Vec::new();
        for (x, what) in events {
            let wide = style::width(what, style::LABEL) + 10.0;
            let words = if x + wide > width { (x - wide, x) } else { (x, x + wide) };
            // Lines without words need no room above.
            let row = (0..MOST_ROWS).find(|row| !what.is_empty() && is_free(&placed, *row, x, words));
            placed.push(Event { x, what, words, row });
        }
        Self(placed)
    }

    /// What they take above the chart.
    pub(super) fn height(&self) -> i32 {
        ROW * self.0.iter().filter_map(|event| event.row).max().map_or(0, |row| row as i32 + 1)
    }

    /// Draws them between the line `top`, where the words begin, and the bottom of the chart.
    pub(super) fn draw(&self, area: &Area<'_>, top: i32, bottom: i32) -> Result<(), String> {
        for event in &self.0 {
            let x = event.x.round() as i32;
            let begin = top + event.row.map_or(self.height(), |row| ROW * row as i32);
            let line = PathElement::new([(x, begin), (x, bottom)], rgb(style::EVENT).stroke_width(1));
            area.draw(&line).map_err(|error| error.to_string())?;
            if event.row.is_none() {
                continue;
            }
            let is_left = event.words.0 < event.x;
            let (side, x) = if is_left { (HPos::Right, x - 5) } else { (HPos::Left, x + 5) };
            let style = font(style::LABEL, style::INK, FontStyle::Normal).pos(Pos::new(side, VPos::Top));
            area.draw(&Text::new(event.what, (x, begin), style)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Whether words in this row lie on no others, are not crossed by a line from above, and their own line crosses none below.
fn is_free(placed: &[Event<'_>], row: usize, x: f64, (from, to): (f64, f64)) -> bool {
    placed.iter().all(|other| {
        let Some(its) = other.row else { return true };
        let (other_from, other_to) = other.words;
        match its.cmp(&row) {
            std::cmp::Ordering::Equal => to <= other_from || other_to <= from,
            std::cmp::Ordering::Less => other.x <= from || other.x >= to,
            std::cmp::Ordering::Greater => x <= other_from || x >= other_to,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(at: &[f64]) -> Vec<Option<usize>> {
        Events::new(at.iter().map(|x| (*x, "five nodes crash")), 800.0).0.iter().map(|event| event.row).collect()
    }

    #[test]
    fn words_that_would_lie_on_each_other_stand_in_different_rows() {
        assert_eq!(rows(&[100.0, 400.0]), [Some(0), Some(0)]);
        assert_eq!(rows(&[100.0, 140.0, 180.0]), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn words_for_which_there_is_no_row_are_left_out() {
        let many: Vec<f64> = (0..10).map(|n| 100.0 + 5.0 * f64::from(n)).collect();
        assert_eq!(rows(&many).iter().filter(|row| row.is_none()).count(), 10 - MOST_ROWS);
    }

    #[test]
    fn words_never_leave_the_picture() {
        let events = Events::new([(790.0, "five nodes crash")], 800.0);
        assert!(events.0[0].words.1 <= 800.0);
    }
}
