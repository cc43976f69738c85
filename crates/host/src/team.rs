//! The worker team: pinned threads that run one job together and meet at a barrier that spins, then sleeps.
#![allow(unsafe_code)]

use lockstep_arith::environment::rounding_environment_is_sound;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Meets all workers of a team, again and again.
#[derive(Debug)]
pub(crate) struct Barrier {
    workers: usize,
    spins: usize,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    fn new(workers: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // With more workers than cores a spinning worker only keeps the others from arriving.
        let spins = if workers > cores { 100 } else { 20_000 };
        Self {
            workers,
            spins,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Returns when every worker has called it.
    pub(crate) fn wait(&self) {
        if self.workers == 1 {
            return;
        }
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.workers {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            if self.sleepers.load(Ordering::SeqCst) > 0 {
                let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
                self.wake.notify_all();
            }
            return;
        }
        for _ in 0..self.spins {
            if self.generation.load(Ordering::Acquire) != generation {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while self.generation.load(Ordering::SeqCst) == generation {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

const UNSOUND: &str = "this thread does not round to nearest or flushes subnormals: run without what changes that";

type Job = dyn Fn(usize) + Sync;

struct Inner {
    barrier: Barrier,
    job: UnsafeCell<Option<*const Job>>,
    stop: AtomicBool,
}

// SAFETY: `job` is written by the leader only while every worker waits at the barrier, and the pointee is `Sync`.
unsafe impl Sync for Inner {}
// SAFETY: as above.
unsafe impl Send for Inner {}

/// A team of `workers`, the calling thread being worker 0.
pub(crate) struct Team {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({})", self.workers())
    }
}

/// A worker that panics would leave the others waiting for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

fn pin(worker: usize, workers: usize) {
    if let Some(cores) = core_affinity::get_core_ids().filter(|cores| workers > 1 && workers <= cores.len()) {
        core_affinity::set_for_current(cores[worker]);
    }
}

impl Team {
    pub(crate) fn new(workers: usize) -> std::io::Result<Self> {
        let inner = Arc::new(Inner {
            barrier: Barrier::new(workers),
            job: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for worker in 1..workers {
            let inner = Arc::clone(&inner);
            let work = move || {
                pin(worker, workers);
                let _guard = AbortOnPanic;
                // The contract's first rule; a thread that broke it would change bits without a word.
                assert!(rounding_environment_is_sound(), "{UNSOUND}");
                loop {
                    inner.barrier.wait();
                    if inner.stop.load(Ordering::Acquire) {
                        return;
                    }
                    // SAFETY: the leader stored the job before the barrier and keeps it alive until the next one.
                    if let Some(job) = unsafe { *inner.job.get() } {
                        // SAFETY: as above.
                        unsafe { (*job)(worker) };
                    }
                    inner.barrier.wait();
                }
            };
            threads.push(std::thread::Builder::new().name(format!("lockstep-{worker}")).spawn(work)?);
        }
        pin(0, workers);
        if !rounding_environment_is_sound() {
            return Err(std::io::Error::other(UNSOUND));
        }
        Ok(Self { inner, threads })
    }

    pub(crate) fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs a step on every worker.
    pub(crate) fn run_step(&mut self, step: &crate::run::Step<'_>) {
        let inner = Arc::clone(&self.inner);
        self.run(&|worker| step.run(worker, &inner.barrier));
    }

    /// Runs `job(worker)` on every worker and returns when all are done.
    fn run(&mut self, job: &(dyn Fn(usize) + Sync)) {
        let _guard = AbortOnPanic;
        // SAFETY: only the lifetime changes; the job outlives the second barrier, after which no worker touches it.
        let job: *const Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), &Job>(job) };
        // SAFETY: every worker waits at the first barrier.
        unsafe { *self.inner.job.get() = Some(job) };
        self.inner.barrier.wait();
        // SAFETY: the borrow of `job` is still alive.
        unsafe { (*job)(0) };
        self.inner.barrier.wait();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::Release);
        self.inner.barrier.wait();
        for thread in self.threads.drain(..) {
            // A worker that panicked has aborted the process already.
            let _ = thread.join();
        }
    }
}
