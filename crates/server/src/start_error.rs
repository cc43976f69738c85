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
    /// No threads.
    #[error("the server's threads do not start: {0}")]
    Runtime(std::io::Error),
}
