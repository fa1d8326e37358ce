//! Rates in bits per second, as people write them: `500k`, `10M`, `1G`.

use std::fmt;
use std::str::FromStr;

/// Bounds of a rate: below, a single frame takes a minute; above, no peering comes near.
const BOUNDS: std::ops::RangeInclusive<u64> = 10_000..=1_000_000_000_000;
/// Units, the largest first.
const UNITS: [(char, u64); 3] = [('G', 1_000_000_000), ('M', 1_000_000), ('k', 1_000)];

/// Bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let unit = UNITS.iter().find(|(name, _)| text.ends_with(*name) || text.ends_with(name.to_ascii_uppercase()));
        let (digits, unit) = unit.map_or((text, 1), |(_, unit)| (&text[..text.len() - 1], *unit));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let rate = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or(())?;
        if BOUNDS.contains(&rate) { Ok(Self(rate)) } else { Err(()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit_or_is_in_bits() {
        for (text, rate, shown) in [
            ("10M", 10_000_000, "10M"),
            ("500k", 500_000, "500k"),
            ("500K", 500_000, "500k"),
            ("2000M", 2_000_000_000, "2G"),
            ("1000G", 1_000_000_000_000, "1000G"),
            ("12345", 12_345, "12345"),
        ] {
            assert_eq!(text.parse(), Ok(Rate(rate)));
            assert_eq!(Rate(rate).to_string(), shown);
        }
        for bad in ["", "M", "9k", "1001G", "10m", "-1M", "+1M", "1.5M", "99999999999999999999G", "10 M", "10µ"] {
            assert_eq!(bad.parse::<Rate>(), Err(()), "{bad}");
        }
    }
}
