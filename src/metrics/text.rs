//! Metrics as text: the Prometheus text format 0.0.4 and OpenMetrics 1.0.
//!
//! The two differ in little: OpenMetrics names a counter's family without `_total`, gives units, and ends with `# EOF`. The crate
//! `prometheus-client` writes OpenMetrics only, which neither `promtool check metrics` nor simple scrapers read, and wants to own the counters;
//! ours belong to the core and come as a snapshot. So these hundred lines are ours.

use std::fmt::Write;

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
    /// Counts observations and sums them up.
    Summary,
}

impl Kind {
    /// Its name in both formats.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A family: metrics of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, with `_total` if it is a counter.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The labels that tell its metrics apart.
    pub labels: &'static [&'static str],
    /// What it counts, in a sentence without a full stop.
    pub help: &'static str,
}

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics text, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The better of the two for a client with this `Accept` header; Prometheus text for one that does not care.
    pub fn accepted(accept: &str) -> Self {
        let quality = |media: &str| -> f32 {
            let ranges = accept.split(',').map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
                (name.eq_ignore_ascii_case(media), quality.unwrap_or(0.0))
            });
            ranges.filter(|(named, _)| *named).map(|(_, quality)| quality).fold(0.0, f32::max)
        };
        let (open, plain) = (quality("application/openmetrics-text"), quality("text/plain"));
        if open > 0.0 && open >= plain { Self::OpenMetrics } else { Self::Prometheus }
    }
}

/// The text under way.
#[derive(Debug)]
pub(super) struct Text {
    format: Format,
    text: String,
}

impl Text {
    /// Nothing so far.
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(32 << 10) }
    }

    /// Begins a family. Its samples have to follow before the next.
    pub(super) fn family(&mut self, family: &Family) {
        let Family { name, kind, help, .. } = family;
        let name = match self.format {
            Format::OpenMetrics if *kind == Kind::Counter => name.trim_end_matches("_total"),
            _ => name,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}");
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.name());
        let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
    }

    /// One sample: the family's name with `suffix`, labels, value.
    pub(super) fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.text, "{name}{suffix}");
        for (index, (label, value)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if index == 0 { '{' } else { ',' });
            for letter in value.chars() {
                match letter {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    letter => self.text.push(letter),
                }
            }
            self.text.push('"');
        }
        // Counters are whole numbers up to 2^53 here, which is 9 PB.
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAMILY: Family =
        Family { name: "pinecone_read_bytes_total", kind: Kind::Counter, labels: &["from"], help: "Bytes read" };

    fn text(format: Format, label: &str) -> String {
        let mut text = Text::new(format);
        text.family(&FAMILY);
        text.sample(FAMILY.name, "", &[("from", label)], 7.0);
        text.finish()
    }

    #[test]
    fn counters_are_written_as_each_format_wants_them() {
        let expected = "# HELP pinecone_read_bytes_total Bytes read\n# TYPE pinecone_read_bytes_total counter\n\
                        pinecone_read_bytes_total{from=\"a\"} 7\n";
        assert_eq!(text(Format::Prometheus, "a"), expected);
        let expected = "# HELP pinecone_read_bytes Bytes read\n# TYPE pinecone_read_bytes counter\n# UNIT pinecone_read_bytes bytes\n\
                        pinecone_read_bytes_total{from=\"a\"} 7\n# EOF\n";
        assert_eq!(text(Format::OpenMetrics, "a"), expected);
    }

    #[test]
    fn a_client_gets_the_format_that_it_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("text/plain, application/openmetrics-text;q=0.5"), Format::Prometheus);
        assert_eq!(Format::accepted("application/openmetrics-text;q=0"), Format::Prometheus);
        for indifferent in ["", "*/*", "text/html", ";;,q=,,"] {
            assert_eq!(Format::accepted(indifferent), Format::Prometheus, "{indifferent}");
        }
    }

    proptest! {
        #[test]
        fn no_label_breaks_out_of_its_line(label: String) {
            let text = text(Format::Prometheus, &label);
            prop_assert_eq!(text.matches('\n').count(), 3);
            let quoted = text.lines().last().unwrap_or_default();
            let is_closed = quoted.ends_with("\"} 7");
            prop_assert!(is_closed);
        }

        #[test]
        fn no_accept_header_makes_it_panic(header: String) {
            let _ = Format::accepted(&header);
        }
    }
}
