//! Axes: what they span, where their ticks are, and how numbers are written at them.
//!
//! Ticks are chosen here and not by `plotters`, whose logarithmic axes put numbers like 3,981 at them and whose linear ones may have none at the end.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// One axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// What is measured, with its unit.
    pub(crate) name: String,
    from: f64,
    to: f64,
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From `from` to `to`, with five to ten ticks.
    pub(crate) fn linear(name: &str, from: f64, to: f64) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        let step = nice((to - from) / 9.0);
        let first = (from / step).ceil() as i64;
        let last = (to / step + 1e-9).floor() as i64;
        let ticks = (first..=last).map(|n| n as f64 * step).map(|at| (at, number(at))).collect();
        Self { name: name.to_owned(), from, to, logarithmic: false, ticks }
    }

    /// From 0 to 100 %, with a little room above, where most curves end.
    pub(crate) fn percent(name: &str) -> Self {
        let ticks = [0.0, 25.0, 50.0, 75.0, 100.0].map(|at| (at, number(at))).to_vec();
        Self { name: name.to_owned(), from: 0.0, to: 103.0, logarithmic: false, ticks }
    }

    /// Around all of these positive numbers, whole powers of ten and, if they are few, 2 and 5 times them at the ticks.
    pub(crate) fn logarithmic(name: &str, numbers: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for number in numbers.into_iter().filter(|number| number.is_finite() && *number > 0.0) {
            (low, high) = (low.min(number), high.max(number));
        }
        let (low, high) = if high > 0.0 { (low / 1.4, high * 1.4) } else { (1.0, 10.0) };
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let steps: &[f64] = if (high / low).log10() > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        let ticks = ticks.filter(|at| (low..=high).contains(at)).map(|at| (at, number(at))).collect();
        Self { name: name.to_owned(), from: low, to: high, logarithmic: true, ticks }
    }

    /// Names instead of numbers, at 0, 1, 2 …
    pub(crate) fn names(name: &str, names: &[&str]) -> Self {
        let ticks = names.iter().enumerate().map(|(at, name)| (at as f64, (*name).to_owned())).collect();
        Self { name: name.to_owned(), from: -0.5, to: names.len() as f64 - 0.5, logarithmic: false, ticks }
    }

    /// Where a number lies, from 0 to 1; what is beyond an end is put there.
    pub(crate) fn share(&self, number: f64) -> f64 {
        let number = number.clamp(self.from, self.to);
        if self.logarithmic {
            (number / self.from).ln() / (self.to / self.from).ln()
        } else {
            (number - self.from) / (self.to - self.from)
        }
    }

    /// The lowest and the highest number.
    pub(crate) const fn ends(&self) -> (f64, f64) {
        (self.from, self.to)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, number: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.share(*number) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.iter().map(|(at, _)| *at).collect() }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, number: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == number);
        tick.map_or_else(String::new, |(_, text)| text.clone())
    }
}

/// 1, 2 or 5 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A number for people: thousands are set apart, millions counted, no more digits than it has.
pub(crate) fn number(value: f64) -> String {
    if value.abs() >= 1_000_000.0 {
        return format!("{} M", (value / 10_000.0).round() / 100.0);
    }
    if value.abs() < 1_000.0 {
        return format!("{}", (value * 1_000.0).round() / 1_000.0);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 && digit.is_ascii_digit() && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|(at, _)| axis.format_ext(at)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_and_reach_the_end() {
        assert_eq!(
            texts(&Axis::linear("s", 0.0, 180.0)),
            ["0", "20", "40", "60", "80", "100", "120", "140", "160", "180"]
        );
        assert_eq!(texts(&Axis::linear("s", 0.0, 0.5)), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(
            texts(&Axis::logarithmic("n", [50.0, 5_000.0])),
            ["50", "100", "200", "500", "1,000", "2,000", "5,000"]
        );
        assert_eq!(texts(&Axis::logarithmic("n", [20.0, 40_000.0])), ["100", "1,000", "10,000"]);
        assert_eq!(texts(&Axis::linear("B", 0.0, 2_000_000.0)), ["0", "500,000", "1 M", "1.5 M", "2 M"]);
        assert_eq!(texts(&Axis::names("after", &["a", "b"])), ["a", "b"]);
    }

    #[test]
    fn numbers_beyond_an_axis_are_put_at_its_end_and_an_axis_of_nothing_still_spans_something() {
        assert_eq!(Axis::linear("s", 0.0, 10.0).map(&99.0, (100, 300)), 300);
        assert_eq!(Axis::logarithmic("n", [1.4, 100.0 / 1.4]).map(&10.0, (0, 200)), 100);
        let (from, to) = Axis::linear("s", 3.0, 3.0).ends();
        assert!(to > from);
        let (from, to) = Axis::logarithmic("n", [0.0, f64::NAN]).ends();
        assert!(to > from);
    }
}
