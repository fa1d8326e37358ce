//! (in preparation)

/// The number of a peering at our node: 1 to 253; 0 is the node itself.
pub type Port = u8;

/// What carries a peering; faster kinds win ties. Order and numbers are the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerKind {
    /// In the same process.
    Pipe = 0,
    /// Found by LAN discovery.
    Lan = 1,
    /// Apple's peer-to-peer link.
    Bonjour = 2,
    /// Configured, or accepted from anywhere.
    Remote = 3,
    /// Bluetooth.
    Bluetooth = 4,
}
