//! Percent-encoding (RFC 3986 §2.1) of what may hold any character: socket paths, and the logins of proxies.

use std::fmt;

/// The text with its `%XX` decoded. None if a `%` has no two digits behind it, or if what comes out is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.as_bytes().split_at_checked(2)?;
        let [high, low] = digits else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
        bytes.extend_from_slice(rest);
    }
    String::from_utf8(bytes).ok()
}

/// Writes `text` so that [`decode`] gives it back: letters, digits, `-._~` and `plain` as they are, all else as `%XX`.
pub(super) fn encode(f: &mut fmt::Formatter<'_>, text: &str, plain: &[u8]) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_hexadecimal_digits_that_make_utf8_are_decoded() {
        assert_eq!(decode("a%20b%c3%A9").as_deref(), Some("a b\u{e9}"));
        assert_eq!(decode("").as_deref(), Some(""));
        for wrong in ["%", "%4", "%zz", "a%", "%ff", "%+1", "%\u{e9}"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
