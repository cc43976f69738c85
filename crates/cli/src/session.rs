//! A model with an engine around it, as the commands use it.

use crate::args::{KernelChoice, ModelArguments, On, OnArguments, SamplingArguments};
use crate::backend::{AnyBackend, HostBackend};
use crate::compiled::{self, Recipe};
use crate::load::{Loaded, Outline, load, outline};
use crate::output;
use crate::program::count;
use crate::simulated::SimulatedBackend;
use crate::timetable::Timetable;
use crate::{store, system};
use anyhow::{Context, Result, bail};
use lockstep_engine::{
    Detokenizer, Engine, EngineOptions, Event, FinishReason, RequestId, SamplingParams, SystemClock, TextStream, Usage,
};
use lockstep_host::{Host, Options};
use lockstep_kernels::Kernels;
use lockstep_simulator::Conditions;
use lockstep_text::{StreamDecoder, Tokenizer};

/// Room in a step for several requests at once, whatever the prefill chunk.
const STEP_TOKENS_MIN: usize = 64;

/// What all commands but `eval` need of a model.
pub struct Session {
    /// Takes requests.
    pub engine: Engine<AnyBackend>,
    /// Names, sizes and vocabulary.
    pub outline: Outline,
    /// What this run was given.
    pub setting: Setting,
    /// The engine's clock.
    pub clock: SystemClock,
}

/// How a backend was started.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Workers.
    pub threads: usize,
    /// The kernel set.
    pub kernels: Kernels,
    /// Longest sequence, in tokens.
    pub context: usize,
}

/// A backend without an engine, for callers that read all logits.
pub struct Bare {
    /// Computes logits.
    pub backend: HostBackend,
    /// Names, sizes and vocabulary.
    pub outline: Outline,
    /// What this run was given.
    pub setting: Setting,
}

/// Loads the model and starts its workers. Steps take at least `step_tokens` tokens.
pub fn open_bare(arguments: &ModelArguments, step_tokens: usize) -> Result<Bare> {
    let kernels = kernels(arguments.kernels)?;
    let Loaded { outline, graph, weights } = load(&store::resolve(&arguments.model)?)?;
    let context = context(arguments.context, outline.config.context_length)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.map_or(cores, usize::from);
    let step_tokens = step_tokens.max(arguments.prefill_chunk as usize);
    let host = Host::new(graph, weights, Options { threads, step_tokens, kernels })?;
    let setting = Setting { threads, kernels, context };
    Ok(Bare { backend: HostBackend::new(host, context), outline, setting })
}

/// The model on the host with an engine around it, whose answers continue a text (`raw`) or are texts of their own.
pub fn open(arguments: &ModelArguments, raw: bool) -> Result<Session> {
    let Bare { backend, outline, setting } = open_bare(arguments, STEP_TOKENS_MIN)?;
    let options = EngineOptions { prefill_chunk: Some(arguments.prefill_chunk as usize), ..EngineOptions::default() };
    Ok(session(AnyBackend::Host(Box::new(backend)), outline, setting, raw, options))
}

/// The model on the host with an engine that shares its steps among many.
pub fn open_for_serving(arguments: &ModelArguments, options: EngineOptions, speculate: bool) -> Result<Session> {
    let step_tokens = STEP_TOKENS_MIN.max(2 * options.running_max);
    let Bare { backend, outline, setting } = open_bare(arguments, step_tokens)?;
    let guesses_max = if speculate { options.guesses_max } else { 0 };
    let options = EngineOptions { prefill_chunk: Some(arguments.prefill_chunk as usize), guesses_max, ..options };
    Ok(session(AnyBackend::Host(Box::new(backend)), outline, setting, false, options))
}

/// The same on the host or on simulated chips of a system, compiled first where that has not been done; the seed decides
/// what is drawn for the system's conditions.
pub fn open_on(on: &OnArguments, seed: u64, arguments: &ModelArguments, raw: bool) -> Result<Session> {
    let On::System(name) = &on.on else {
        on.require_none()?;
        return open(arguments, raw);
    };
    // Before the model is looked for: a name is cheaper to check.
    let outage = on.without.clone().unwrap_or_default();
    let system = system::open(name)?.without(&outage)?;
    let placement = system.places().to_vec();
    let kernels = kernels(arguments.kernels)?;
    let outline = outline(&store::resolve(&arguments.model)?)?;
    let longest = outline.config.context_length;
    let wanted = context(arguments.context, longest)?;
    let wanted = if arguments.context.is_some() { wanted } else { wanted.min(compiled::CONTEXT) };
    let program = Recipe::new(&outline, system, wanted, on.spread).kept()?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // A thread runs whole chips.
    let threads = arguments.threads.map_or(cores, usize::from).min(program.chips as usize);
    let context = Timetable::of(&program)?.context().min(arguments.context.map_or(longest, |_| wanted));
    let mut chip = SimulatedBackend::new(program, context, kernels, threads)?;
    // What is out of order is so while the program runs, too.
    let conditions = Conditions { placement, outage, ..on.conditions.conditions(seed) };
    chip.set_conditions(conditions, on.conditions.replays);
    let setting = Setting { threads, kernels, context };
    // A wrong guess costs the chip as much as a right one.
    let chunk = Some(arguments.prefill_chunk as usize);
    let options = EngineOptions { guesses_max: 0, prefill_chunk: chunk, ..EngineOptions::default() };
    Ok(session(AnyBackend::Simulated(Box::new(chip)), outline, setting, raw, options))
}

fn session(backend: AnyBackend, outline: Outline, setting: Setting, raw: bool, mut options: EngineOptions) -> Session {
    options.end_token_ids = end_tokens(&outline);
    options.kernels = setting.kernels;
    options.token_cost_percent = token_cost_percent(setting.kernels);
    let text = Box::new(Text { tokenizer: outline.tokenizer.clone(), raw });
    let clock = SystemClock::new();
    let engine = Engine::new(backend, options, Box::new(clock), text);
    Session { engine, outline, setting, clock }
}

/// What a further token adds to a step of the host, in percent of a step of one token, as `lockstep bench --parallel`
/// tells for the default model. The faster the products, the more of a step is reading weights, which all tokens share.
fn token_cost_percent(kernels: Kernels) -> u32 {
    if Some(kernels) == Kernels::avx512() { 15 } else { 35 }
}

/// The tokens that end an answer, rising.
pub fn end_tokens(outline: &Outline) -> Vec<u32> {
    let mut ends = outline.config.end_tokens.clone();
    ends.extend(outline.tokenizer.end_of_generation());
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn kernels(choice: KernelChoice) -> Result<Kernels> {
    match choice {
        KernelChoice::Auto => Ok(Kernels::detect()),
        KernelChoice::Scalar => Ok(Kernels::scalar()),
        KernelChoice::Avx2 => Kernels::avx2().context("this CPU has no AVX2: use --kernels auto"),
        KernelChoice::Avx512 => Kernels::avx512().context("this CPU has no AVX-512 with VNNI: use --kernels auto"),
    }
}

fn context(wanted: Option<u32>, most: usize) -> Result<usize> {
    match wanted.map(|tokens| tokens as usize) {
        Some(tokens) if tokens > most => bail!("--context {tokens} is above the {most} tokens of the model: lower it"),
        wanted => Ok(wanted.unwrap_or(most)),
    }
}

impl SamplingArguments {
    /// The engine's form.
    pub fn params(&self) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            repetition_penalty: self.repetition_penalty,
            logit_bias: Vec::new(),
        }
    }
}

/// A finished request.
#[derive(Debug)]
pub struct Answer {
    /// All its text.
    pub text: String,
    /// Its tokens, the end token included.
    pub token_ids: Vec<u32>,
    /// Why it is over.
    pub reason: FinishReason,
    /// Counts and times.
    pub usage: Usage,
}

impl Session {
    /// Steps until `request` is over; each piece of its text goes to `on_text`, which can end it by returning false.
    pub fn finish(&mut self, request: RequestId, mut on_text: impl FnMut(&str) -> Result<bool>) -> Result<Answer> {
        let (mut text, mut token_ids) = (String::new(), Vec::new());
        let runs = |session: &Self| session.engine.backend().simulated().map(|chip| chip.runs().len());
        // A simulated chip takes long to read a prompt.
        let mut waiting = runs(self).map(|before| (output::spinner("reading the prompt"), before));
        loop {
            let events = self.engine.step()?;
            if let Some((bar, before)) = &waiting {
                let read = runs(self).unwrap_or_default() - before;
                bar.set_message(format!("reading the prompt: {}", count(read, "token")));
                if !events.is_empty() {
                    bar.finish_and_clear();
                    waiting = None;
                }
            }
            if events.is_empty() && self.engine.is_idle() {
                bail!("the engine lost a request: please report this");
            }
            let mut go_on = true;
            for event in events {
                match event {
                    Event::Token { request: whose, id, text: piece, .. } if whose == request => {
                        token_ids.push(id);
                        text.push_str(&piece);
                        go_on &= on_text(&piece)?;
                    }
                    Event::Finished { request: whose, text: piece, reason, usage } if whose == request => {
                        text.push_str(&piece);
                        on_text(&piece)?;
                        if let FinishReason::Fault(why) = reason {
                            bail!(why);
                        }
                        return Ok(Answer { text, token_ids, reason, usage });
                    }
                    _ => {}
                }
            }
            if !go_on || crate::interrupt::asked() {
                self.engine.cancel(request);
            }
        }
    }
}

/// The tokenizer as the engine uses it.
struct Text {
    tokenizer: Tokenizer,
    raw: bool,
}

impl Detokenizer for Text {
    fn start(&self) -> Box<dyn TextStream + Send> {
        // Some vocabularies put a space before every text; within a text that is continued it is a real one.
        let stream = if self.raw {
            StreamDecoder::continuing(&self.tokenizer, true)
        } else {
            StreamDecoder::new(&self.tokenizer)
        };
        Box::new(Stream(stream))
    }
}

struct Stream(StreamDecoder);

impl TextStream for Stream {
    fn push(&mut self, id: u32) -> String {
        self.0.push(id)
    }

    fn finish(&mut self) -> String {
        self.0.finish()
    }
}
