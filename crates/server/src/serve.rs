//! From a served model to a running server.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware;
use lockstep_engine::Backend;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::cors::CorsLayer;

use crate::access::Gate;
use crate::app::App;
use crate::runner::Runner;
use crate::served::{Access, Served, ServerOptions};
use crate::start_error::StartError;
use crate::{guard, listen, routes};

/// Threads that read requests and send answers; the work is done elsewhere.
const RUNTIME_THREADS: usize = 2;

/// Headers of answers that pages of other origins may read.
const EXPOSED: [&str; 8] = [
    "x-request-id",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
];

/// Serves until the process is asked to end (SIGTERM or Ctrl-C) and all answers are sent. `on_listening` is called with
/// the address once connections are taken.
pub fn serve<B: Backend + Send + 'static>(
    served: Served<B>,
    options: ServerOptions,
    on_listening: impl FnOnce(SocketAddr),
) -> Result<(), StartError> {
    if !options.addr.ip().is_loopback() && matches!(options.access, Access::Open) && !options.insecure {
        return Err(StartError::Exposed(options.addr));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("server")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let result = runtime.block_on(run(served, options, on_listening));
    // Work whose client has gone is not waited for.
    runtime.shutdown_background();
    result
}

async fn run<B: Backend + Send + 'static>(
    served: Served<B>,
    options: ServerOptions,
    on_listening: impl FnOnce(SocketAddr),
) -> Result<(), StartError> {
    let runner = Runner::start(served.engine, served.clock).map_err(StartError::Runtime)?;
    let listener = TcpListener::bind(options.addr).await;
    let listener = listener.map_err(|error| StartError::Listen { addr: options.addr, error })?;
    let addr = listener.local_addr().unwrap_or(options.addr);
    let gate = Gate::new(&options.access)?;
    let cors = cors(&options.cors_origins)?;
    let (drain, draining) = watch::channel(false);
    let limits = options.limits.clone();
    let app = Arc::new(App::new(served.model, runner, gate, options, draining.clone()));
    let guarded = middleware::from_fn_with_state(Arc::clone(&app), guard::guard);
    let gate = Arc::clone(&app.gate);
    prepare(&app);
    let mut router = routes::router().layer(guarded).with_state(app);
    if let Some(cors) = cors {
        router = router.layer(cors);
    }
    tokio::spawn(async move {
        asked_to_end().await;
        tracing::info!("asked to end: answers are finished, new requests refused");
        // Without a listener the server is over already.
        let _ = drain.send(true);
    });
    on_listening(addr);
    listen::serve(listener, router, &limits, draining).await;
    // Whatever goes wrong here is logged there.
    let _ = tokio::task::spawn_blocking(move || gate.settle()).await;
    Ok(())
}

/// What lets pages of these origins ask; none where there are none.
fn cors(origins: &[String]) -> Result<Option<CorsLayer>, StartError> {
    let of = |origin: &String| {
        let is_origin = origin.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains('/')
        });
        let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin);
        value.ok_or_else(|| StartError::Origin(origin.clone()))
    };
    let origins = origins.iter().map(of).collect::<Result<Vec<_>, _>>()?;
    let layer = CorsLayer::new()
        .allow_origin(origins.clone())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers(EXPOSED.map(HeaderName::from_static));
    Ok((!origins.is_empty()).then_some(layer))
}

/// Builds what the first constrained answer would otherwise wait for.
fn prepare(app: &App) {
    if let Ok(vocabulary) = &app.vocabulary {
        let vocabulary = vocabulary.clone();
        // What is wrong with it, its first user is told.
        std::thread::spawn(move || drop(vocabulary.prepare()));
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn asked_to_end() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
