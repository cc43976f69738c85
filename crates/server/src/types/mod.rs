//! What goes over the wire. Names and shapes are those of the OpenAI API; fields that others added say so.

pub(crate) mod answer;
pub(crate) mod chat;
pub(crate) mod chat_answer;
pub(crate) mod completion;
pub(crate) mod model;
pub(crate) mod response;
pub(crate) mod sampling;
pub(crate) mod tokenize;
