//! What all sockets of peerings have in common: the interface and the mark that the underlay's routing goes by, and the proxy for peers
//! that name none.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use socket2::SockRef;

use super::{DialError, ListenError, tcp};
use crate::config::{Config, ProxyUri};

/// What holds for all peerings, by configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underlay {
    /// The mark of all sockets (`SO_MARK`), for routing rules and packet filters.
    pub(crate) mark: Option<NonZeroU32>,
    /// For peers whose URI names none.
    pub(crate) proxy: Option<ProxyUri>,
}

/// How one socket is bound, besides its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Binding<'a> {
    /// The only interface to use.
    pub(crate) interface: Option<&'a str>,
    /// The mark of its packets.
    pub(crate) mark: Option<NonZeroU32>,
}

impl Underlay {
    /// As configured.
    pub(crate) fn new(config: &Config) -> Self {
        Self { mark: NonZeroU32::new(config.peering.fwmark), proxy: config.peering.proxy.clone() }
    }

    /// The binding of a socket for `interface`.
    pub(crate) fn binding<'a>(&self, interface: Option<&'a str>) -> Binding<'a> {
        Binding { interface, mark: self.mark }
    }
}

/// The mark could not be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot set peering.fwmark on a socket: {source}{}", advice(.source))]
pub(crate) struct MarkError {
    source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; it needs CAP_NET_ADMIN: give pineconed that, or set peering.fwmark = 0",
        _ => "",
    }
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindingError {
    /// The mark.
    #[error(transparent)]
    Mark(MarkError),
    /// The interface, or whatever else the kernel did not like.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl BindingError {
    /// The same, of a socket that was to be connected to `address`.
    pub(super) fn of_dialling(self, address: SocketAddr) -> DialError {
        match self {
            Self::Mark(error) => DialError::Mark(error),
            Self::Socket(source) => DialError::Connect { address, source },
        }
    }

    /// The same, of a socket that was to listen on `address`.
    pub(super) fn of_listening(self, address: SocketAddr) -> ListenError {
        match self {
            Self::Mark(error) => ListenError::Mark(error),
            Self::Socket(source) => tcp::listen_error(address, source),
        }
    }
}

impl Binding<'_> {
    /// Applies to a socket that is neither bound nor connected. Connections that a listener accepts have its mark.
    pub(crate) fn apply(&self, socket: SockRef<'_>) -> Result<(), BindingError> {
        if let Some(mark) = self.mark {
            socket.set_mark(mark.get()).map_err(|error| BindingError::Mark(MarkError { source: error }))?;
        }
        if let Some(interface) = self.interface {
            socket.bind_device(Some(interface.as_bytes())).map_err(BindingError::Socket)?;
        }
        Ok(())
    }
}
