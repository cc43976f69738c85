//! The engine on a thread of its own: requests go in through a channel, each one's events come out through another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockstep_engine::{
    Attached, Backend, Clock, Engine, Event, FinishReason, Load, Request, RequestId, SubmitError, Usage,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Failures of the backend in a row after which this server no longer says that it is ready.
const FAILURES_MAX: usize = 3;

enum Command {
    /// `home` is where what is replied sends its own commands.
    Submit {
        request: Box<Request>,
        attached: Attached,
        home: mpsc::Sender<Command>,
        reply: Reply,
    },
    Cancel(RequestId),
}

type Reply = oneshot::Sender<Result<Running, SubmitError>>;

/// Numbers that the engine's thread keeps up to date.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    load: Mutex<Load>,
    pub(crate) steps: AtomicUsize,
    failures: AtomicUsize,
    over: AtomicBool,
}

impl Gauges {
    /// What the engine held when it last took a look.
    pub(crate) fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the engine's thread.
#[derive(Clone)]
pub(crate) struct Runner {
    commands: mpsc::Sender<Command>,
    clock: Arc<dyn Clock + Send + Sync>,
    pub(crate) gauges: Arc<Gauges>,
}

/// Why a request did not start.
#[derive(Debug)]
pub(crate) enum Refusal {
    Engine(SubmitError),
    /// The engine's thread is gone.
    Gone,
}

impl Runner {
    /// Moves the engine to its thread, which ends when the last `Runner` and [`Running`] are dropped.
    pub(crate) fn start<B: Backend + Send + 'static>(
        engine: Engine<B>,
        clock: Arc<dyn Clock + Send + Sync>,
    ) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let gauges = Arc::new(Gauges::default());
        let shared = Arc::clone(&gauges);
        std::thread::Builder::new().name("engine".into()).spawn(move || {
            let end = End(Arc::clone(&shared));
            Thread { engine, inbox, gauges: shared, streams: BTreeMap::new() }.run();
            drop(end);
        })?;
        Ok(Self { commands, clock, gauges })
    }

    /// Whether the engine is there and its backend works.
    pub(crate) fn is_well(&self) -> bool {
        !self.gauges.over.load(Ordering::Relaxed) && self.gauges.failures.load(Ordering::Relaxed) < FAILURES_MAX
    }

    /// The clock's reading after `time`.
    pub(crate) fn after(&self, time: Duration) -> Duration {
        self.clock.now() + time
    }

    /// The clock's reading at a moment that has passed.
    pub(crate) fn clock_at(&self, moment: Instant) -> Duration {
        self.clock.now().saturating_sub(moment.elapsed())
    }

    /// Queues a request. Whoever drops what this returns, or the wait for it, takes the request back.
    pub(crate) async fn submit(&self, request: Request, attached: Attached) -> Result<Running, Refusal> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Submit { request: Box::new(request), attached, home: self.commands.clone(), reply };
        self.commands.send(command).map_err(|_| Refusal::Gone)?;
        answer.await.map_err(|_| Refusal::Gone)?.map_err(Refusal::Engine)
    }
}

/// A request that the engine has. Dropped before its end, wherever that happens, it is cancelled.
#[derive(Debug)]
pub(crate) struct Running {
    id: RequestId,
    events: UnboundedReceiver<Event>,
    commands: mpsc::Sender<Command>,
    is_over: bool,
}

impl Running {
    /// The next event; none where the engine's thread is gone, or after the last.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.is_over |= matches!(event, Some(Event::Finished { .. }) | None);
        event
    }

    /// The next event, where it is there already.
    pub(crate) fn next_now(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.is_over |= matches!(event, Some(Event::Finished { .. }));
        event
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            // Without a thread there is nothing to cancel.
            let _ = self.commands.send(Command::Cancel(self.id));
        }
    }
}

/// Says that the thread is over, however it ends.
struct End(Arc<Gauges>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

struct Thread<B: Backend> {
    engine: Engine<B>,
    inbox: mpsc::Receiver<Command>,
    gauges: Arc<Gauges>,
    streams: BTreeMap<RequestId, UnboundedSender<Event>>,
}

impl<B: Backend> Thread<B> {
    fn run(mut self) {
        loop {
            if self.engine.is_idle() {
                let Ok(command) = self.inbox.recv() else { return };
                self.take(command);
            }
            while let Ok(command) = self.inbox.try_recv() {
                self.take(command);
            }
            self.publish();
            // A step may do no more than tell of what was cancelled.
            let Load { running, waiting, .. } = self.engine.load();
            let made = self.engine.step();
            self.gauges.steps.fetch_add(1, Ordering::Relaxed);
            // Before anybody hears of the step: who was told of an answer's end finds its place free.
            self.publish();
            match made {
                Ok(events) => {
                    if running + waiting > 0 {
                        self.gauges.failures.store(0, Ordering::Relaxed);
                    }
                    for event in events {
                        self.route(event);
                    }
                }
                Err(error) => self.fail(&error.to_string()),
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Submit { request, attached, home, reply } => {
                let submitted = self.engine.submit_with(*request, attached).map(|id| {
                    let (stream, events) = unbounded_channel();
                    self.streams.insert(id, stream);
                    Running { id, events, commands: home, is_over: false }
                });
                // Where nobody waits for it any more, now or once it is sent, it is dropped and so cancelled.
                drop(reply.send(submitted));
            }
            Command::Cancel(id) => {
                self.engine.cancel(id);
            }
        }
    }

    fn route(&mut self, event: Event) {
        // Nobody listens where the request was cancelled.
        match &event {
            Event::Token { request, .. } => {
                if let Some(stream) = self.streams.get(request) {
                    let _ = stream.send(event);
                }
            }
            Event::Finished { request, .. } => {
                if let Some(stream) = self.streams.remove(request) {
                    let _ = stream.send(event);
                }
            }
        }
    }

    /// The backend failed as a whole: all requests end, so that nobody waits for what may never come.
    fn fail(&mut self, error: &str) {
        tracing::error!(error, "the backend failed");
        self.gauges.failures.fetch_add(1, Ordering::Relaxed);
        let streams = std::mem::take(&mut self.streams);
        for request in streams.keys() {
            self.engine.cancel(*request);
        }
        self.publish();
        for (request, stream) in streams {
            let reason = FinishReason::Fault(error.to_owned());
            let _ = stream.send(Event::Finished { request, text: String::new(), reason, usage: Usage::default() });
        }
    }

    fn publish(&self) {
        *self.gauges.load.lock().unwrap_or_else(PoisonError::into_inner) = self.engine.load();
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
