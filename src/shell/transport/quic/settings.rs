//! All numbers of QUIC, with their reasons. Both sides of a connection use the same.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};

use super::path::{Path, Watched};
use crate::keys::PublicKey;
use crate::shell::transport::tls::{NodeTls, NodeTlsError};
use crate::time::Duration;

/// Datagrams that may wait in QUIC to be sent, in bytes: two of the longest frames. What waits here is in no order but that in which it came, so it
/// is kept to what QUIC sends in one go; the rest waits in the node, where it has priorities and takes turns.
pub(super) const SEND_BUFFER: usize = 128 << 10;
/// Datagrams that have come and were not taken, in bytes. Beyond it the oldest are dropped. Some milliseconds at 1 Gbit/s, in which the core may be busy.
const RECEIVE_BUFFER: usize = 512 << 10;
/// What may be under way on the stream, in bytes, in each direction: protocol frames, of which there are some per second.
const STREAM_WINDOW: u32 = 256 << 10;
/// A connection from which nothing comes is closed after this. A link that is up is judged earlier, by its silence; this is for the handshake, and for the
/// remains of a link that ended.
const IDLE: u32 = 8_000;
/// The round trip that the handshake assumes: three of them until a lost packet is sent again. The specification's 333 ms would be a second.
const INITIAL_ROUND_TRIP: Duration = Duration::from_millis(100);
/// Handshakes that wait for the core to look at them, and bytes that may come for each and for all meanwhile.
const MAX_INCOMING: usize = 64;
const INCOMING_BYTES: u64 = 16 << 10;
const ALL_INCOMING_BYTES: u64 = 256 << 10;
/// UDP payload on an Ethernet of 1500 bytes, under IPv4 and IPv6. Discovery begins at 1200, which every path has to have.
const LARGEST_V4: u16 = 1_472;
const LARGEST_V6: u16 = 1_452;

/// For both sides. What is known of the path will be in `path`.
fn transport(path: &Arc<Path>, remote: SocketAddr, peer_opens: u32) -> Arc<TransportConfig> {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(if remote.ip().to_canonical().is_ipv4() { LARGEST_V4 } else { LARGEST_V6 });
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(peer_opens))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(STREAM_WINDOW.into())
        .datagram_receive_buffer_size(Some(RECEIVE_BUFFER))
        .datagram_send_buffer_size(SEND_BUFFER)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE))))
        // The link has its own.
        .keep_alive_interval(None)
        .initial_rtt(INITIAL_ROUND_TRIP)
        .mtu_discovery_config(Some(discovery))
        // Tells those on the way the round-trip time, and us nothing.
        .allow_spin(false)
        .congestion_controller_factory(Arc::new(Watched::new(path)));
    Arc::new(config)
}

/// For dialling: any node, or the one with this key.
pub(super) fn client(
    tls: &NodeTls,
    pin: Option<PublicKey>,
    path: &Arc<Path>,
    remote: SocketAddr,
) -> Result<ClientConfig, NodeTlsError> {
    let crypto = QuicClientConfig::try_from(tls.client_config(pin)?).map_err(no_suite)?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport(path, remote, 0));
    Ok(config)
}

/// For a listener. Each connection gets [`accepted`] instead.
pub(super) fn server(tls: &NodeTls) -> Result<ServerConfig, NodeTlsError> {
    let crypto = QuicServerConfig::try_from(tls.server_config()).map_err(no_suite)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .migration(true)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
    // Without tokens from earlier connections: one more thing that would name a node to whoever listens.
    config.validation_token.sent(0);
    Ok(config)
}

/// For one connection that a peer dialled.
pub(super) fn accepted(server: &ServerConfig, path: &Arc<Path>, remote: SocketAddr) -> ServerConfig {
    let mut config = server.clone();
    config.transport_config(transport(path, remote, 1));
    config
}

/// For sockets.
pub(super) fn endpoint() -> EndpointConfig {
    EndpointConfig::default()
}

fn no_suite(_: NoInitialCipherSuite) -> NodeTlsError {
    rustls::Error::General("QUIC needs TLS13_AES_128_GCM_SHA256".to_owned()).into()
}
