//! Numbers for people.

/// A span with its two largest units: `45 s`, `3 h 12 min`, `2 d 4 h`.
pub(crate) fn span(seconds: f64) -> String {
    // The cast saturates, and takes what is not a number for 0.
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// A round-trip time in milliseconds.
pub(crate) fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 10.0 { format!("{milliseconds:.2} ms") } else { format!("{milliseconds:.1} ms") }
}

/// A size in the largest binary unit that it has at least one of.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 1024.0 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{value:.1} {}", unit.unwrap_or(&"EiB"))
}

/// Coordinates: `[1 4 2]`.
pub(crate) fn coordinates(ports: &[u64]) -> String {
    format!("[{}]", ports.iter().map(u64::to_string).collect::<Vec<_>>().join(" "))
}

/// Coordinates, if there are any.
pub(crate) fn maybe_coordinates(ports: Option<&[u64]>) -> String {
    ports.map_or_else(|| "-".to_owned(), coordinates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        assert_eq!(span(0.4), "0 s");
        assert_eq!(span(59.4), "59 s");
        assert_eq!(span(59.6), "1 min 0 s");
        assert_eq!(span(11_520.0), "3 h 12 min");
        assert_eq!(span(187_300.0), "2 d 4 h");
        assert_eq!(span(f64::NAN), "0 s");
        assert_eq!(span(-1.0), "0 s");
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn round_trips_are_milliseconds() {
        assert_eq!(milliseconds(0.000_123), "0.12 ms");
        assert_eq!(milliseconds(0.012_34), "12.3 ms");
    }
}
