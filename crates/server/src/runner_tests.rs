#![allow(clippy::unwrap_used)]

use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use lockstep_engine::{BackendError, EngineOptions, NoText, SequenceId, StepItem, StepOutput, SystemClock};

const PATIENCE: Duration = Duration::from_mins(1);

/// A backend that tells which sequences a step has, and then waits for permission to make it.
struct Stepwise {
    begun: mpsc::Sender<Vec<u32>>,
    permitted: mpsc::Receiver<()>,
    sequences: u32,
    logits: [f32; 4],
}

impl Backend for Stepwise {
    fn vocab_size(&self) -> usize {
        self.logits.len()
    }

    fn context_length(&self) -> usize {
        1000
    }

    fn step_tokens_max(&self) -> usize {
        8
    }

    fn create_sequence(&mut self, _: usize) -> Result<SequenceId, BackendError> {
        self.sequences += 1;
        Ok(SequenceId(self.sequences))
    }

    fn release_sequence(&mut self, _: SequenceId) {}

    fn truncate_sequence(&mut self, _: SequenceId, _: usize) {}

    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        self.begun.send(items.iter().map(|item| item.sequence.0).collect()).unwrap();
        self.permitted.recv_timeout(PATIENCE).map_err(|error| BackendError::Failed(error.to_string()))?;
        Ok(self)
    }
}

impl StepOutput for Stepwise {
    fn logits(&self, _: usize, _: usize) -> Result<&[f32], String> {
        Ok(&self.logits)
    }
}

fn request() -> Request {
    Request { ignore_eos: true, speculate: false, ..Request::new(vec![2], 100) }
}

type Steps = (mpsc::Receiver<Vec<u32>>, mpsc::Sender<()>);

/// Two places, the steps that are being made, and how they are permitted.
fn runner() -> (Runner, Steps) {
    let ((begun, steps), (permit, permitted)) = (mpsc::channel(), mpsc::channel());
    let backend = Stepwise { begun, permitted, sequences: 0, logits: [0.0, 1.0, 0.0, 0.0] };
    let options = EngineOptions { running_max: 2, ..EngineOptions::default() };
    let engine = Engine::new(backend, options, Box::new(SystemClock::new()), Box::new(NoText));
    (Runner::start(engine, Arc::new(SystemClock::new())).unwrap(), (steps, permit))
}

#[tokio::test]
async fn who_leaves_is_in_no_step_but_the_one_that_is_being_made() {
    let (runner, (steps, permit)) = runner();
    let next_step = || steps.recv_timeout(PATIENCE).unwrap();

    let mut leaves = runner.submit(request(), Attached::default()).await.unwrap();
    assert_eq!(next_step(), [1]);
    permit.send(()).unwrap();
    assert!(matches!(leaves.next().await, Some(Event::Token { id: 1, .. })));
    assert_eq!(next_step(), [1]);
    // While that step is made, two others come for two places, and the first leaves.
    let submit = || {
        let (reply, answer) = oneshot::channel();
        let (request, attached, home) = (Box::new(request()), Attached::default(), runner.commands.clone());
        runner.commands.send(Command::Submit { request, attached, home, reply }).unwrap();
        answer
    };
    let [one, _other] = [submit(), submit()];
    drop(leaves);
    permit.send(()).unwrap();
    assert_eq!(next_step(), [2, 3]);
    permit.send(()).unwrap();
    let mut one = one.await.unwrap().unwrap();
    assert!(matches!(one.next().await, Some(Event::Token { id: 1, .. })));
    assert_eq!(runner.gauges.load().running, 2);
}

#[tokio::test]
async fn who_leaves_before_hearing_that_a_request_was_taken_takes_it_back() {
    let (runner, (steps, permit)) = runner();
    let next_step = || steps.recv_timeout(PATIENCE).unwrap();
    {
        let mut leaves = pin!(runner.submit(request(), Attached::default()));
        assert!(leaves.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // It runs, and the word of it is on its way.
        assert_eq!(next_step(), [1]);
    }
    permit.send(()).unwrap();
    let _other = runner.submit(request(), Attached::default()).await.unwrap();
    assert_eq!(next_step(), [2]);
}

#[tokio::test]
async fn a_backend_that_fails_again_and_again_is_told() {
    let (runner, (_steps, permit)) = runner();
    drop(permit);
    for failures in 1..=FAILURES_MAX {
        let mut asks = runner.submit(request(), Attached::default()).await.unwrap();
        let event = asks.next().await;
        assert!(matches!(event, Some(Event::Finished { reason: FinishReason::Fault(_), .. })), "{event:?}");
        assert_eq!(runner.gauges.load().running, 0);
        assert_eq!(runner.is_well(), failures < FAILURES_MAX);
    }
}
