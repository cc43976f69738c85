//! `GET /openapi.json`: all routes, described from the types that they read and write.

#[cfg(test)]
mod table;

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Paths, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

use crate::app::Shared;
use crate::error::ErrorResponse;
use crate::routes::embeddings::EmbeddingFields;
use crate::types::chat::ChatFields;
use crate::types::chat_answer::{ChatChunk, ChatCompletion};
use crate::types::completion::{Completion, CompletionFields};
use crate::types::model::{ModelList, ModelObject, Status, Version};
use crate::types::response::{ResponseFields, ResponseObject};
use crate::types::sampling::SamplingFields;
use crate::types::tokenize::{DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse, TokenizerInfo};

/// Types of requests that name a model.
const REQUESTS: [&str; 6] =
    ["ChatFields", "CompletionFields", "ResponseFields", "EmbeddingFields", "TokenizeRequest", "DetokenizeRequest"];
const KEY: &str = "key";
const JSON: &str = "application/json";

/// What may go wrong with any request, and with requests that the engine answers.
const ANY: [(&str, &str); 5] = [
    ("401", "No key, or one that does not work."),
    ("403", "A host or an origin that is not let in."),
    ("404", "Nothing is there."),
    ("405", "Another method is needed."),
    ("500", "A fault of the server."),
];
const OF_BODIES: [(&str, &str); 3] = [
    ("400", "The request cannot be answered as it is; `param` names what is wrong."),
    ("408", "The body, or the answer, took too long."),
    ("413", "The body is too large."),
];
const OF_ANSWERS: [(&str, &str); 4] = [
    ("422", "The model did not keep to what was asked for; `failed_generation` has what it wrote."),
    ("429", "Too many requests; `retry-after` says when to ask again."),
    ("498", "Nothing is free for a request of the flex tier."),
    ("503", "The server ends, or does not work."),
];

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(document);

/// The description, with the names that this server's model answers to.
pub(crate) async fn openapi(State(app): State<Shared>) -> Json<Value> {
    Json(with_names(serde_json::to_value(&*DOCUMENT).unwrap_or_default(), &app.model.names))
}

/// Requests name one of the served models.
fn with_names(mut document: Value, names: &[String]) -> Value {
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    let requests = schemas.into_iter().flatten().filter(|(name, _)| REQUESTS.contains(&name.as_str()));
    for (_, schema) in requests {
        if let Some(model) = schema.pointer_mut("/properties/model").and_then(Value::as_object_mut) {
            // Where it may be absent, null is as good.
            let may_be_null = model.get("type").is_some_and(Value::is_array);
            let null = may_be_null.then_some(Value::Null);
            model.insert("enum".to_owned(), names.iter().cloned().map(Value::from).chain(null).collect());
        }
    }
    document
}

/// What a route takes and gives.
struct Operation {
    method: HttpMethod,
    summary: &'static str,
    body: Option<RefOr<Schema>>,
    /// Media types with their schemas; without one, any.
    answers: Vec<(&'static str, Option<RefOr<Schema>>)>,
    /// Whether the engine answers.
    is_engine: bool,
    needs_key: bool,
}

#[derive(Default)]
struct Builder {
    components: Components,
    paths: Paths,
}

impl Builder {
    /// A reference to a type, which is described once.
    fn of<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        self.components.schemas.extend(schemas);
        Ref::from_schema_name(T::name()).into()
    }

    fn both<A: ToSchema, B: ToSchema>(&mut self) -> RefOr<Schema> {
        let (a, b) = (self.of::<A>(), self.of::<B>());
        AllOfBuilder::new().item(a).item(b).into()
    }

    fn route(&mut self, path: &str, operation: Operation) {
        let error = self.of::<ErrorResponse>();
        let mut described = OperationBuilder::new().summary(Some(operation.summary));
        if path.contains("{id}") {
            let text = ObjectBuilder::new().schema_type(Type::String);
            described = described.parameter(
                ParameterBuilder::new()
                    .name("id")
                    .parameter_in(ParameterIn::Path)
                    .required(Required::True)
                    .schema(Some(text)),
            );
        }
        let mut errors = ANY.to_vec();
        if let Some(body) = operation.body {
            let content = ContentBuilder::new().schema(Some(body)).build();
            let body = RequestBodyBuilder::new().content(JSON, content).required(Some(Required::True));
            described = described.request_body(Some(body.build()));
            errors.extend(OF_BODIES);
        }
        if operation.is_engine {
            errors.extend(OF_ANSWERS);
        } else {
            errors.extend(OF_ANSWERS.iter().filter(|(status, _)| matches!(*status, "429" | "503")));
        }
        let mut answer = ResponseBuilder::new().description("The answer.");
        for (media, schema) in operation.answers {
            answer = answer.content(media, ContentBuilder::new().schema(schema).build());
        }
        described = described.response("200", answer.build());
        for (status, text) in errors {
            described = described.response(status, error_response(text, &error));
        }
        if operation.needs_key {
            described = described.security(SecurityRequirement::new(KEY, Vec::<String>::new()));
        }
        self.paths.paths.insert(path.to_owned(), PathItem::new(operation.method, described.build()));
    }

    /// A route under both prefixes.
    fn api(&mut self, path: &str, operation: impl Fn(&mut Self) -> Operation) {
        for prefix in ["/v1", "/openai/v1"] {
            let operation = operation(self);
            self.route(&format!("{prefix}{path}"), operation);
        }
    }
}

fn error_response(text: &str, error: &RefOr<Schema>) -> Response {
    let content = ContentBuilder::new().schema(Some(error.clone())).build();
    ResponseBuilder::new().description(text).content(JSON, content).build()
}

fn post(summary: &'static str, body: RefOr<Schema>, answer: RefOr<Schema>) -> Operation {
    let answers = vec![(JSON, Some(answer))];
    Operation { method: HttpMethod::Post, summary, body: Some(body), answers, is_engine: false, needs_key: true }
}

/// The same for routes that the engine answers, in one piece or many.
fn ask(summary: &'static str, body: RefOr<Schema>, answer: RefOr<Schema>) -> Operation {
    let mut operation = Operation { is_engine: true, ..post(summary, body, answer) };
    operation.answers.push(("text/event-stream", None));
    operation
}

fn get(summary: &'static str, answer: RefOr<Schema>) -> Operation {
    let answers = vec![(JSON, Some(answer))];
    Operation { method: HttpMethod::Get, summary, body: None, answers, is_engine: false, needs_key: true }
}

fn document() -> OpenApi {
    let mut builder = Builder::default();
    builder.api("/chat/completions", |b| {
        // Streams are made of them.
        b.of::<ChatChunk<'_>>();
        ask("Answer a chat.", b.both::<ChatFields, SamplingFields>(), b.of::<ChatCompletion>())
    });
    builder.api("/completions", |b| {
        ask("Continue prompts.", b.both::<CompletionFields, SamplingFields>(), b.of::<Completion>())
    });
    builder.api("/responses", |b| {
        ask("Answer a conversation.", b.both::<ResponseFields, SamplingFields>(), b.of::<ResponseObject>())
    });
    builder.api("/embeddings", |b| {
        // No model that is served gives them.
        let any = ObjectBuilder::new().build();
        post("Embed texts, where the model does.", b.of::<EmbeddingFields>(), any.into())
    });
    builder.api("/models", |b| get("The names of the served model.", b.of::<ModelList>()));
    builder.api("/models/{id}", |b| get("One of them; it may hold slashes.", b.of::<ModelObject>()));
    let tokenize =
        post("Tokens of a text or a chat.", builder.of::<TokenizeRequest>(), builder.of::<TokenizeResponse>());
    builder.route("/tokenize", tokenize);
    let detokenize = post("The text of tokens.", builder.of::<DetokenizeRequest>(), builder.of::<DetokenizeResponse>());
    builder.route("/detokenize", detokenize);
    let info = get("Facts about the vocabulary.", builder.of::<TokenizerInfo>());
    builder.route("/tokenizer_info", info);
    let health = get("Whether the process works.", builder.of::<Status>());
    builder.route("/health", Operation { needs_key: false, ..health });
    let ready = get("Whether requests are taken.", builder.of::<Status>());
    builder.route("/ready", Operation { needs_key: false, ..ready });
    let version = get("Which program and model this is.", builder.of::<Version>());
    builder.route("/version", version);
    let text = |summary, media, needs_key| Operation {
        answers: vec![(media, None)],
        needs_key,
        ..get(summary, ObjectBuilder::new().build().into())
    };
    builder.route("/metrics", text("Counts and times for a scraper.", "text/plain", true));
    builder.route("/", text("The playground.", "text/html", false));
    builder.route("/openapi.json", text("This description.", JSON, true));
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    builder.components.security_schemes.insert(KEY.to_owned(), SecurityScheme::Http(key));
    let info = InfoBuilder::new()
        .title("Lockstep")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("An OpenAI-compatible API whose answers are the same bits every time."));
    OpenApiBuilder::new().info(info).paths(builder.paths).components(Some(builder.components)).build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// All references lead somewhere.
    #[test]
    fn the_description_is_whole() {
        let json = serde_json::to_value(&*DOCUMENT).unwrap();
        let schemas = json["components"]["schemas"].as_object().unwrap();
        let text = json.to_string();
        let mut references = 0;
        for rest in text.split("\"#/components/schemas/").skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
            references += 1;
        }
        assert!(references > 100);
        let json = with_names(json.clone(), &["a/b".to_owned()]);
        for name in REQUESTS {
            assert_eq!(json["components"]["schemas"][name]["properties"]["model"]["enum"][0], "a/b", "{name}");
        }
        for path in ["/v1/chat/completions", "/openai/v1/responses", "/v1/models/{id}", "/health", "/tokenize"] {
            assert!(json["paths"][path].is_object(), "{path}");
        }
    }
}
