//! Coordinates: the ports from the root down to a node (specification §1).
//!
//! On the wire a 16-bit length *in bytes*, then one `varu64` per port. Two forms: [`Coords`] is owned, [`CoordsRef`] borrows
//! the bytes of a frame. The borrowed one is validated when it is read and then iterates without errors and without
//! allocating.

use super::{DecodeError, Reader, varint};

/// A node's position in the tree; empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coords(Vec<u64>);

impl Coords {
    /// The position that is reached from the root by following `ports`.
    pub const fn new(ports: Vec<u64>) -> Self {
        Self(ports)
    }

    /// The ports, from the root downwards.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// Whether this is the root's position.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of ports: the depth in the tree.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes on the wire, with the two of the length.
    pub fn encoded_len(&self) -> usize {
        2 + self.ports_len()
    }

    /// Appends length and ports to `out`. A list that is too long for its length field (no tree is that deep) is written as
    /// an empty one: for the receiver the same as "coordinates unknown".
    pub fn write(&self, out: &mut Vec<u8>) {
        let Ok(len) = u16::try_from(self.ports_len()) else {
            out.extend([0, 0]);
            return;
        };
        out.extend(len.to_be_bytes());
        for port in &self.0 {
            varint::write(*port, out);
        }
    }

    /// Number of edges in the tree between two positions: the sum of the depths less twice the common prefix.
    pub fn distance(&self, other: &Self) -> usize {
        self.distance_to(&other.0)
    }

    /// The same to a position that was [decoded](CoordsRef::decode).
    pub fn distance_to(&self, other: &[u64]) -> usize {
        let common = self.0.iter().zip(other).take_while(|(a, b)| a == b).count();
        self.0.len() + other.len() - 2 * common
    }

    /// Bytes that the ports take on the wire.
    fn ports_len(&self) -> usize {
        self.0.iter().map(|port| varint::encoded_len(*port)).sum()
    }
}

/// Shown as the reference shows them: `[1 2 3]`.
impl std::fmt::Display for Coords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (i, port) in self.0.iter().enumerate() {
            write!(f, "{}{port}", if i > 0 { " " } else { "" })?;
        }
        f.write_str("]")
    }
}

/// Coordinates inside a received frame: validated wire bytes without the two of the length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordsRef<'a>(&'a [u8]);

impl<'a> CoordsRef<'a> {
    /// Reads length and ports, and checks that every port is complete and canonical.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::NonCanonical`] or [`DecodeError::TooLarge`].
    pub fn read(reader: &mut Reader<'a>, what: &'static str) -> Result<Self, DecodeError> {
        let len = reader.u16(what)?;
        let bytes = reader.take(usize::from(len), what)?;
        let mut ports = Reader::new(bytes);
        while !ports.rest().is_empty() {
            ports.varu64(what)?;
        }
        Ok(Self(bytes))
    }

    /// The ports, from the root downwards.
    pub fn iter(&self) -> impl Iterator<Item = u64> + use<'a> {
        let mut ports = Reader::new(self.0);
        // `read` decoded the same bytes without an error, so the only end is the end of the list.
        std::iter::from_fn(move || ports.varu64("port").ok())
    }

    /// Whether this is the root's position; in a traffic frame's destination: "go by key".
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The wire bytes, without the two of the length.
    pub const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// A copy to keep.
    pub fn to_owned(&self) -> Coords {
        Coords(self.iter().collect())
    }

    /// Puts the ports, and nothing else, into `ports`, to be compared with many others.
    pub fn decode(&self, ports: &mut Vec<u64>) {
        ports.clear();
        ports.extend(self.iter());
    }
}

impl PartialEq<Coords> for CoordsRef<'_> {
    fn eq(&self, other: &Coords) -> bool {
        self.iter().eq(other.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<CoordsRef<'_>, DecodeError> {
        CoordsRef::read(&mut Reader::new(bytes), "coords")
    }

    #[test]
    fn the_borrowed_and_the_owned_form_are_the_same_list() {
        let coords = Coords::new(vec![1, 2, 3, 4000]);
        let mut bytes = Vec::new();
        coords.write(&mut bytes);
        assert_eq!(bytes, [0, 5, 1, 2, 3, 0x9f, 0x20]);
        assert_eq!(coords.encoded_len(), bytes.len());
        let borrowed = read(&bytes).unwrap();
        assert_eq!(borrowed, coords);
        assert_eq!(borrowed.to_owned(), coords);
        assert_eq!(coords.to_string(), "[1 2 3 4000]");
    }

    #[test]
    fn a_port_that_is_cut_off_or_not_canonical_spoils_the_list() {
        assert_eq!(read(&[0, 2, 1]), Err(DecodeError::Truncated { what: "coords" }));
        assert_eq!(read(&[0, 2, 1, 0x81]), Err(DecodeError::Truncated { what: "coords" }));
        assert_eq!(read(&[0, 2, 0x80, 1]), Err(DecodeError::NonCanonical { what: "coords" }));
    }

    #[test]
    fn distance_counts_the_edges_up_and_down() {
        let coords = |ports: &[u64]| Coords::new(ports.to_vec());
        for (a, b, edges) in [
            (&[][..], &[][..], 0),
            (&[1], &[], 1),
            (&[1, 2], &[1, 2], 0),
            (&[1, 2, 3], &[1, 2], 1),
            (&[1, 2], &[3, 2], 4),
            (&[1, 2, 3], &[1, 3], 3),
        ] {
            assert_eq!(coords(a).distance(&coords(b)), edges, "{a:?} {b:?}");
            assert_eq!(coords(b).distance(&coords(a)), edges, "{b:?} {a:?}");
            let mut bytes = Vec::new();
            coords(a).write(&mut bytes);
            let mut ports = vec![7];
            read(&bytes).unwrap().decode(&mut ports);
            assert_eq!(coords(b).distance_to(&ports), edges);
        }
    }

    #[test]
    fn a_list_that_its_length_field_cannot_describe_is_written_as_unknown() {
        let mut bytes = Vec::new();
        Coords::new(vec![1; 65_536]).write(&mut bytes);
        assert_eq!(bytes, [0, 0]);
    }
}
