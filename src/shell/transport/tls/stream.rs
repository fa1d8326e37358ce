//! A TLS channel over a connection: the handshakes of both sides, in bounded time, and the stream that comes of them.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, CommonState, Error, ServerConfig};
use tokio::io::BufReader;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{ALPN, NodeCertificateError, NodeTls, NodeTlsError, RootsError, channel};
use crate::config::Host;
use crate::keys::PublicKey;
use crate::link::window::PathSample;
use crate::link::{Carrier, HELLO_TIMEOUT};
use crate::shell::transport::Stream;
use crate::time::Duration;

/// How long a handshake may take: as long as the hello that follows.
const HANDSHAKE_TIMEOUT: Duration = HELLO_TIMEOUT;
/// Bytes asked of the connection at a time. The library asks for 4 KiB, which makes five system calls of one record (16 KiB); this holds
/// two, and each channel holds such a buffer.
const READ_BUFFER: usize = 2 * (16 << 10) + 512;

/// A TLS channel over whatever carries it.
pub(crate) type Channel = TlsStream<BufReader<Box<dyn Stream>>>;

impl Stream for Channel {
    fn path(&self) -> Option<PathSample> {
        self.get_ref().0.get_ref().path()
    }
}

/// Why no channel came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The other side answered, in another language.
    #[error("the other side does not speak TLS: this may be a port for tcp:// or ws:// peerings")]
    NotTls,
    /// A channel, but not for peerings.
    #[error("the other side speaks TLS, but not for peerings: wss:// reaches a node behind a web server")]
    NotPinecone,
    /// It is not the node that it should be, or none.
    #[error("{0}")]
    Node(NodeCertificateError),
    /// A web server whose certificate is no good.
    #[error("the web server's certificate is refused: {0}")]
    Web(String),
    /// It showed no certificate.
    #[error("the other side showed no certificate: it is not a node")]
    NoCertificate,
    /// An address that cannot be the name of a web server.
    #[error("{0} cannot be the name in a certificate")]
    Name(String),
    /// Who vouches for web servers?
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// It refused us.
    #[error("the other side refused the TLS handshake: {0:?}")]
    Refused(rustls::AlertDescription),
    /// Anything else within TLS.
    #[error("the TLS handshake failed: {0}")]
    Protocol(Error),
    /// It closed the connection.
    #[error("the other side closed the connection during the TLS handshake")]
    Closed,
    /// The connection broke.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(io::Error),
    /// Not all of the handshake came.
    #[error("the other side did not finish the TLS handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TimedOut,
    /// A fault of ours.
    #[error(transparent)]
    Settings(#[from] NodeTlsError),
}

impl NodeTls {
    /// Opens a channel to a node: any node, or only the one with this key. The name lets a proxy that tells TLS connections apart by name pass
    /// it on, and is not otherwise looked at.
    ///
    /// # Errors
    /// The other side is not a node, not the one that is meant, or did not do its part.
    pub(crate) async fn connect(
        &self,
        stream: Box<dyn Stream>,
        host: &Host,
        pin: Option<PublicKey>,
    ) -> Result<(Channel, Carrier), TlsError> {
        let connector = TlsConnector::from(self.client_config(pin)?);
        let channel = in_time(connector.connect(server_name(host)?, buffered(stream))).await?.into();
        let carrier = node_carrier(&channel, true)?;
        Ok((channel, carrier))
    }

    /// Opens a channel to a web server, behind which a node is, or to a node that listens for WebSockets. The carrier is a WebSocket in
    /// either case; only the node has proven its key by it.
    ///
    /// # Errors
    /// As [`NodeTls::connect`], and what browsers refuse too.
    pub(crate) async fn connect_web(
        &self,
        stream: Box<dyn Stream>,
        host: &Host,
        pin: Option<PublicKey>,
    ) -> Result<(Channel, Carrier), TlsError> {
        let connector = TlsConnector::from(self.web_client_config(pin).await?);
        let channel: Channel = in_time(connector.connect(server_name(host)?, buffered(stream))).await?.into();
        let carrier = carrier(&channel).unwrap_or(Carrier::WebSocket);
        Ok((channel, carrier))
    }

    /// Opens a channel with a node that dialled us.
    ///
    /// # Errors
    /// The other side is not a node, or did not do its part.
    pub(crate) async fn accept(&self, stream: Box<dyn Stream>) -> Result<(Channel, Carrier), TlsError> {
        self.accept_with(self.server_config(), stream, true).await
    }

    /// The same for a WebSocket.
    ///
    /// # Errors
    /// As [`NodeTls::accept`].
    pub(crate) async fn accept_web(&self, stream: Box<dyn Stream>) -> Result<(Channel, Carrier), TlsError> {
        self.accept_with(Arc::clone(&self.web_server), stream, false).await
    }

    async fn accept_with(
        &self,
        config: Arc<ServerConfig>,
        stream: Box<dyn Stream>,
        pinecone: bool,
    ) -> Result<(Channel, Carrier), TlsError> {
        let channel = in_time(TlsAcceptor::from(config).accept(buffered(stream))).await?.into();
        let carrier = node_carrier(&channel, pinecone)?;
        Ok((channel, carrier))
    }
}

fn buffered(stream: Box<dyn Stream>) -> BufReader<Box<dyn Stream>> {
    BufReader::with_capacity(READ_BUFFER, stream)
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> Result<T, TlsError> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(result) => result.map_err(TlsError::from_io),
        Err(_) => Err(TlsError::TimedOut),
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, TlsError> {
    match host {
        Host::Ip(ip) => Ok(ServerName::IpAddress((*ip).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone())),
    }
}

/// What a node proved. `pinecone`: and that it speaks our protocol, which keeps a channel from being taken for one of another
/// protocol; a WebSocket says so itself.
fn node_carrier(stream: &Channel, pinecone: bool) -> Result<Carrier, TlsError> {
    let state: &CommonState = stream.get_ref().1;
    if pinecone && state.alpn_protocol() != Some(ALPN) {
        return Err(TlsError::NotPinecone);
    }
    carrier(stream).ok_or(TlsError::NoCertificate)
}

fn carrier(stream: &Channel) -> Option<Carrier> {
    let state: &CommonState = stream.get_ref().1;
    let certificates = state.peer_certificates()?;
    channel(certificates, |binding, label| match stream {
        TlsStream::Client(stream) => stream.get_ref().1.export_keying_material(binding, label, None).is_ok(),
        TlsStream::Server(stream) => stream.get_ref().1.export_keying_material(binding, label, None).is_ok(),
    })
}

impl TlsError {
    /// Errors of TLS come inside those of the connection.
    fn from_io(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        match tls {
            Some(error) => Self::from_tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::Io(error),
        }
    }

    fn from_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::NoApplicationProtocol => Self::NotPinecone,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol) => Self::NotPinecone,
            Error::AlertReceived(alert) => Self::Refused(*alert),
            Error::InvalidCertificate(CertificateError::Other(other)) => match other.0.downcast_ref() {
                Some(error) => Self::Node(*error),
                None => Self::Web(other.to_string()),
            },
            Error::InvalidCertificate(error) => Self::Web(explain(error)),
            error => Self::Protocol(error.clone()),
        }
    }
}

/// What is wrong with the certificate of a web server, and what to do.
fn explain(error: &CertificateError) -> String {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => format!("it has expired, or this host's clock is wrong ({error})"),
        E::NotValidYet | E::NotValidYetContext { .. } => {
            format!("it is not valid yet, or this host's clock is wrong ({error})")
        }
        E::UnknownIssuer => {
            "no CA that this host trusts vouches for it; a CA of your own goes into peering.tls_ca_file, \
                             and a node without a web server in front is dialled with ?key=<its public key>"
                .to_owned()
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            format!("it is for another name; dial the name that it has ({error})")
        }
        E::Revoked => "its CA has revoked it".to_owned(),
        E::BadSignature => {
            "it is not signed by the CA that it names, or the other side does not have its key".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
