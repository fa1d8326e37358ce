//! TLS towards a homeserver that is being tested: any certificate is taken, and then looked at. What is sent over it is public, and the overlay
//! has proven the address already.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pinecone::shell::clock::Clock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server_name::Host;

/// What a certificate is worth to a homeserver that does not know it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// A CA that this host trusts vouches for it.
    Public,
    /// It is for this name and in date, but nobody vouches for it.
    Unknown,
    /// It is not for this name, not in date, or worse: why.
    Wrong(String),
}

/// Talks TLS over `stream`.
///
/// # Errors
/// What the handshake ended with.
pub(crate) async fn connect(stream: TcpStream, host: &Host) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(subject(host)?, stream).await
}

/// Looks at the certificate of a connection.
pub(crate) fn trust(stream: &TlsStream<TcpStream>, host: &Host) -> Trust {
    let (Some([certificate, more @ ..]), Ok(subject)) = (stream.get_ref().1.peer_certificates(), subject(host)) else {
        return Trust::Wrong("there is none".to_owned());
    };
    let mut public = RootCertStore::empty();
    public.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if verify(public, certificate, more, &subject).is_ok() {
        return Trust::Public;
    }
    // With whatever stands last in the chain as its own anchor, only name, dates and use are left to complain of.
    let mut own = RootCertStore::empty();
    own.add_parsable_certificates([more.last().unwrap_or(certificate).clone()]);
    match verify(own, certificate, more, &subject) {
        Ok(()) => Trust::Unknown,
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Trust::Unknown,
        Err(Error::InvalidCertificate(error)) => Trust::Wrong(error.to_string()),
        // A CA's certificate where that of a server belongs, for example; those who do not verify do not mind.
        Err(_) => Trust::Unknown,
    }
}

fn verify(
    roots: RootCertStore,
    certificate: &CertificateDer<'_>,
    more: &[CertificateDer<'_>],
    subject: &ServerName<'_>,
) -> Result<(), Error> {
    let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|_| unknown())?;
    let now = UnixTime::since_unix_epoch(Duration::from_millis(Clock::new().unix_now().0));
    verifier.verify_server_cert(certificate, more, subject, &[], now).map(|_| ())
}

/// What a certificate of `host` has to be for.
fn subject(host: &Host) -> io::Result<ServerName<'static>> {
    match host {
        Host::Ip(IpAddr::V4(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Ip(IpAddr::V6(address)) => Ok(ServerName::IpAddress((*address).into())),
        Host::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other),
    }
}

/// Takes any certificate, but has the other side prove that it has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
