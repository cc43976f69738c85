//! Text to token ids and back, and chat messages to prompts.
//!
//! In: a neutral vocabulary ([`VocabSpec`], filled from GGUF metadata) or the bytes of Hugging Face's
//! `tokenizer.json`, both untrusted; text; token ids; chat messages and a Jinja template.
//! Out: token ids equal to those of `transformers`; text piece by piece that never holds half a character; prompts.
//! It does not know: file formats, models, backends, HTTP, the clock (the caller says what time it is).
//!
//! Start reading at [`Tokenizer`]: text goes through `special` (tokens that stand in the text), `normalize`, `split`
//! (pre-tokenisation) and `bpe` (merging). `vocab` and `hf` are the two ways to make one, `stream` the way back,
//! `chat` the templates. Merging is our own and not the `tokenizers` crate's: on the same tokenizer.json of 256,000 tokens
//! that one took 3.7 times as long to build, it wants scores made into merges first, and one instance cannot both parse
//! special tokens and leave them unparsed.

mod bpe;
mod bytes;
mod chat;
mod check;
mod error;
mod hf;
mod hf_file;
mod hf_steps;
mod message;
mod normalize;
mod patterns;
mod prompt;
mod special;
mod split;
mod stream;
mod table;
mod tokenizer;
mod vocab;

pub use chat::ChatTemplate;
pub use check::check;
pub use error::Error;
pub use message::{FunctionCall, Message, ToolCall};
pub use stream::StreamDecoder;
pub use tokenizer::{EncodeOptions, Tokenizer};
pub use vocab::{TokenKind, VocabModel, VocabSpec};
