//! Connections: accepting, limits on heads and their time, and a graceful end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::impatient::Impatient;
use crate::served::Limits;

/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// Before accepting is tried again where it failed for lack of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts until `draining` becomes true, then lets answers finish for as long as the limits allow.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: &Limits, mut draining: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            _ = draining.wait_for(|draining| *draining) => break,
        };
        let Some((stream, place)) = accepted else { continue };
        // A piece of an answer is small, and is to leave at once.
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(connection(stream, router.clone(), limits));
        tokio::spawn(async move {
            // Whatever goes wrong with a connection, its client has gone.
            let _ = connection.await;
            drop(place);
        });
    }
    // Until the last answer is sent, others are told that this server ends.
    let refusing = async {
        loop {
            let Some((stream, _place)) = accept(&listener, &places).await else { continue };
            let _ = connection(stream, router.clone(), limits).await;
        }
    };
    tokio::select! {
        () = graceful.shutdown() => {}
        () = refusing => {}
        () = tokio::time::sleep(limits.drain_time) => tracing::warn!("answers were cut off at the end of the drain time"),
    }
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
    limits: &Limits,
) -> http1::Connection<TokioIo<Impatient>, TowerToHyperService<Router>> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_bytes)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.write_time)), TowerToHyperService::new(router))
}

#[cfg(test)]
#[path = "listen_tests.rs"]
mod tests;
