//! `POST completions`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockstep_engine as engine;
use lockstep_engine::{Attached, TokenLogprobs};
use lockstep_text::StreamDecoder;

use crate::access::Ticket;
use crate::app::{App, Meta, Shared, fresh_id, now};
use crate::body;
use crate::echo::PromptLogprobs;
use crate::error::ApiError;
use crate::generation::{Answer, Generation};
use crate::plan::Text;
use crate::routes::completion_frames::CompletionFrames;
use crate::sse;
use crate::types::answer::{Usage, UsageOrNull, XGroq, XLockstep};
use crate::types::completion::{Completion, CompletionChoice, CompletionFields, CompletionLogprobs, Prompt};
use crate::types::sampling::{Checked, SamplingFields, at_most};
use crate::{generation, logprobs};

/// Tokens of an answer where the request does not say.
const TOKENS: u32 = 16;
/// Most tokens told at each place.
const TOP_MAX: u32 = 5;

/// Continues one or several prompts.
pub(crate) async fn completions(
    State(app): State<Shared>,
    Extension(meta): Extension<Meta>,
    request: Request,
) -> Result<Response, ApiError> {
    let (fields, sampling) = body::read_both::<CompletionFields, SamplingFields>(&app, request).await?;
    app.require_model(&fields.model)?;
    let mut asked = engine::Request::new(Vec::new(), 1);
    let wants = Wants::of(&fields, &mut asked)?;
    let checked = sampling.apply(&mut asked)?;
    let ticket = app.gate.enter(&meta.caller)?;
    let (shared, prompt) = (Arc::clone(&app), fields.prompt);
    let prompts = app.pool.run(move || tokens(&shared, prompt)).await?;
    let mut started = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        started.push(Started::new(&app, &ticket, &asked, prompt, wants).await?);
    }
    let head = Head::new(&app, meta, fields.model, &checked);
    if checked.is_stream {
        let (generations, echoes) = started.into_iter().map(|started| (started.generation, started.echo)).unzip();
        let frames = CompletionFrames::new(Arc::clone(&app), head, checked, wants, echoes);
        return Ok(sse::respond(generations, frames));
    }
    let mut answers = Vec::with_capacity(started.len());
    for started in started {
        answers.push((started.echo, started.generation.finish().await?));
    }
    Ok(Json(completion(&app, head, wants, answers)).into_response())
}

/// What is to be told besides the answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    pub(crate) echo: bool,
    pub(crate) logprobs: bool,
    top: usize,
    /// No answer at all, only the prompt's numbers: the engine's one token is left out.
    pub(crate) nothing: bool,
}

impl Wants {
    fn of(fields: &CompletionFields, asked: &mut engine::Request) -> Result<Self, ApiError> {
        let (echo, tokens) = (fields.echo.unwrap_or(false), fields.max_tokens.unwrap_or(TOKENS));
        if tokens == 0 && !echo {
            return Err(ApiError::invalid("max_tokens", "max_tokens is 0: it must be at least 1, or send echo = true"));
        }
        if let Some(top) = fields.logprobs.filter(|&top| top > TOP_MAX) {
            return Err(ApiError::invalid("logprobs", format!("logprobs is {top}: it must be 0 to {TOP_MAX}")));
        }
        if fields.best_of.is_some_and(|count| count != 1) {
            return Err(ApiError::unsupported("best_of", "best_of must be 1: one answer a prompt is made"));
        }
        if fields.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
            return Err(ApiError::unsupported("suffix", "suffix is not supported: leave it out"));
        }
        asked.max_tokens = tokens.max(1) as usize;
        asked.logprobs = fields.logprobs.map(|top| top as usize);
        asked.all_logits = echo && fields.logprobs.is_some();
        let top = fields.logprobs.unwrap_or(0) as usize;
        Ok(Self { echo, logprobs: fields.logprobs.is_some(), top, nothing: tokens == 0 })
    }
}

fn tokens(app: &App, prompt: Prompt) -> Result<Vec<Vec<u32>>, ApiError> {
    let most = app.options.limits.prompts;
    let of_text = |text: &String| {
        app.require_short("prompt", text.len())?;
        Ok(crate::prompt::text_tokens(app, text))
    };
    let prompts = match prompt {
        Prompt::Text(text) => vec![of_text(&text)?],
        Prompt::Tokens(ids) => vec![ids],
        Prompt::Texts(texts) => {
            at_most("prompt", texts.len(), most)?;
            texts.iter().map(of_text).collect::<Result<_, ApiError>>()?
        }
        Prompt::TokenLists(lists) => lists,
    };
    at_most("prompt", prompts.len(), most)?;
    if prompts.is_empty() {
        return Err(ApiError::invalid("prompt", "prompt is empty: send at least one"));
    }
    Ok(prompts)
}

/// A prompt's own part of the answer.
pub(crate) struct Echo {
    pub(crate) prompt: Vec<u32>,
    read: Option<Arc<Mutex<PromptLogprobs>>>,
}

struct Started {
    generation: Generation,
    echo: Echo,
}

impl Started {
    async fn new(
        app: &Shared,
        ticket: &Arc<Ticket>,
        asked: &engine::Request,
        prompt: Vec<u32>,
        wants: Wants,
    ) -> Result<Self, ApiError> {
        let request = engine::Request { prompt: prompt.clone(), ..asked.clone() };
        let read = asked.all_logits.then(|| PromptLogprobs::new(prompt.clone(), wants.top));
        let attached = Attached {
            observer: read.clone().map(|read| Box::new(read) as _),
            // Within a text that is continued every space is a real one.
            text: Some(Box::new(Text(StreamDecoder::continuing(&app.model.tokenizer, true)))),
            ..Attached::default()
        };
        let generation = Generation::start(app, ticket, request, attached).await?;
        Ok(Self { generation, echo: Echo { prompt, read } })
    }
}

impl Echo {
    /// The prompt as text, with its log-probabilities where they were read.
    pub(crate) fn tell(&self, app: &App) -> (String, Option<CompletionLogprobs>) {
        let text = app.model.tokenizer.decode(&self.prompt, false);
        let logprobs = self.read.as_ref().map(|read| {
            let read = read.lock().unwrap_or_else(PoisonError::into_inner);
            let mut list = CompletionLogprobs::default();
            let mut offset = 0;
            for (index, &id) in self.prompt.iter().enumerate() {
                let of = index.checked_sub(1).and_then(|at| read.read.get(at));
                list.push(app, id, of, &mut offset);
            }
            list
        });
        (text, logprobs)
    }
}

impl CompletionLogprobs {
    /// Adds a token; `offset` goes on by its characters.
    pub(crate) fn push(&mut self, app: &App, id: u32, of: Option<&TokenLogprobs>, offset: &mut usize) {
        let tokenizer = &app.model.tokenizer;
        let text = logprobs::text_of(tokenizer, id);
        self.text_offset.push(*offset);
        *offset += text.chars().count();
        self.token_logprobs.push(of.map(|of| logprobs::finite(of.chosen)));
        self.top_logprobs.push(of.map(|of| {
            let mut top = serde_json::Map::new();
            for &(id, logprob) in &of.top {
                // Two tokens of the same text: the more likely one is told.
                top.entry(logprobs::text_of(tokenizer, id)).or_insert_with(|| logprobs::finite(logprob).into());
            }
            // The drawn token is always there.
            top.entry(text.clone()).or_insert_with(|| logprobs::finite(of.chosen).into());
            top
        }));
        self.tokens.push(text);
    }
}

/// What every part of an answer repeats.
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) seed: i64,
    pub(crate) tier: &'static str,
    pub(crate) request_id: String,
    pub(crate) fingerprint: String,
}

impl Head {
    fn new(app: &App, meta: Meta, model: String, checked: &Checked) -> Self {
        Self {
            id: fresh_id("cmpl-"),
            created: now(),
            model,
            seed: checked.seed,
            tier: meta.tier(checked.tier),
            request_id: meta.id,
            fingerprint: app.model.fingerprint.clone(),
        }
    }

    /// An answer without usage or extras.
    pub(crate) fn with(&self, choices: Vec<CompletionChoice>) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage: None,
            service_tier: self.tier,
            system_fingerprint: self.fingerprint.clone(),
            x_groq: None,
            x_lockstep: None,
        }
    }
}

fn completion(app: &App, head: Head, wants: Wants, answers: Vec<(Echo, Answer)>) -> Completion {
    let (mut usage, mut ids) = (Usage::default(), Vec::new());
    let mut choices = Vec::with_capacity(answers.len());
    let lone = (answers.len() == 1).then(|| answers.first().map(|(_, answer)| answer.end.x_lockstep(app).lpu));
    for (index, (echo, answer)) in answers.into_iter().enumerate() {
        ids.extend(&answer.end.ids);
        usage.add(&Usage::from(&answer.end.usage), wants.nothing);
        choices.push(choice(app, wants, index, &echo, &answer));
    }
    let mut completion = head.with(choices);
    completion.usage = Some(UsageOrNull::Usage(usage));
    completion.x_groq = Some(XGroq { id: head.request_id, seed: Some(head.seed), ..XGroq::default() });
    completion.x_lockstep = Some(XLockstep { output_digest: generation::digest(ids), lpu: lone.flatten().flatten() });
    completion
}

fn choice(app: &App, wants: Wants, index: usize, echo: &Echo, answer: &Answer) -> CompletionChoice {
    let (mut text, mut list) = if wants.echo { echo.tell(app) } else { (String::new(), None) };
    if wants.logprobs && !wants.nothing {
        let list = list.get_or_insert_default();
        let mut offset = text.chars().count();
        for token in &answer.tokens {
            list.push(app, token.id, token.logprobs.as_ref(), &mut offset);
        }
    }
    if !wants.nothing {
        text.push_str(&answer.text);
    }
    CompletionChoice { index, text, logprobs: list, finish_reason: Some(answer.end.reason) }
}
