//! `POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use lockstep_text::EncodeOptions;

use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::types::tokenize::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse, TokenizerInfo};
use crate::{body, prompt};

/// Tokens of a text or a chat.
pub(crate) async fn tokenize(State(app): State<Shared>, request: Request) -> Result<Json<TokenizeResponse>, ApiError> {
    let asked: TokenizeRequest = body::read(&app, request).await?;
    require_model(&app, asked.model.as_deref())?;
    let shared = Arc::clone(&app);
    let response = app.pool.run(move || Ok(Json(tokens_of(&shared, asked)?))).await?;
    Ok(response)
}

fn tokens_of(app: &App, asked: TokenizeRequest) -> Result<TokenizeResponse, ApiError> {
    let tokens = match (asked.prompt, asked.messages) {
        (Some(text), None) => {
            app.require_short("prompt", text.len())?;
            let add_special = asked.add_special_tokens.unwrap_or(true);
            app.model.tokenizer.encode(&text, EncodeOptions { add_special, parse_special: false })
        }
        (None, Some(messages)) => prompt::chat_tokens(app, messages, None)?,
        _ => return Err(ApiError::invalid("prompt", "send either prompt or messages")),
    };
    let text_of = |&id: &u32| app.model.tokenizer.token_text(id).unwrap_or_default().to_owned();
    let token_strs = asked.return_token_strs.unwrap_or(false).then(|| tokens.iter().map(text_of).collect());
    Ok(TokenizeResponse { count: tokens.len(), max_model_len: app.model.context, tokens, token_strs })
}

/// The text of tokens.
pub(crate) async fn detokenize(
    State(app): State<Shared>,
    request: Request,
) -> Result<Json<DetokenizeResponse>, ApiError> {
    let asked: DetokenizeRequest = body::read(&app, request).await?;
    require_model(&app, asked.model.as_deref())?;
    let vocabulary = app.model.tokenizer.vocab_size();
    if let Some(id) = asked.tokens.iter().find(|&&id| id as usize >= vocabulary) {
        return Err(ApiError::invalid("tokens", format!("token {id} is not in the vocabulary (0..{vocabulary})")));
    }
    let shared = Arc::clone(&app);
    let work = move || Ok(shared.model.tokenizer.decode(&asked.tokens, false));
    let prompt = app.pool.run(work).await?;
    Ok(Json(DetokenizeResponse { prompt }))
}

/// Facts about the vocabulary.
pub(crate) async fn tokenizer_info(State(app): State<Shared>) -> Json<TokenizerInfo> {
    let tokenizer = &app.model.tokenizer;
    let text_of = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id)).map(str::to_owned);
    Json(TokenizerInfo {
        tokenizer_class: "Tokenizer",
        vocab_size: tokenizer.vocab_size(),
        model_max_length: app.model.context,
        bos_token: text_of(tokenizer.bos()),
        eos_token: text_of(tokenizer.eos()),
        pad_token: text_of(tokenizer.pad()),
        chat_template: tokenizer.chat_template_source().map(str::to_owned),
    })
}

fn require_model(app: &App, name: Option<&str>) -> Result<(), ApiError> {
    name.map_or(Ok(()), |name| app.require_model(name))
}
