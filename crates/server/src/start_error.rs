//! Why a server does not start.

use std::net::SocketAddr;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anybody who reaches the address could use it.
    #[error("{0} can be reached from outside and no key is asked for: give --api-key or --keys, or --insecure")]
    Exposed(SocketAddr),
    /// The address is taken, or not ours.
    #[error("{addr} cannot be listened on: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The keys.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeysError),
    /// An origin that is not one.
    #[error("{0:?} is no origin: give scheme and host, such as https://example.org")]
    Origin(String),
    /// No threads.
    #[error("the server's threads do not start: {0}")]
    Runtime(std::io::Error),
}
