//! What a chat asks for beyond text: calls of tools, JSON. Compiled before the engine sees the request.

use lockstep_engine::{Attached, Constraint, TextStream};
use lockstep_grammar::{Error, Grammar, Matcher, Tool, ToolChoice, ToolFormat, ToolParser};
use lockstep_text::StreamDecoder;
use serde_json::Value;

use crate::app::App;
use crate::error::ApiError;
use crate::types::chat::{ChatMessage, ResponseFormat, ToolChoiceField};

/// The wishes of a chat, as sent.
pub(crate) struct Wishes {
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) tools: Option<Value>,
    pub(crate) tool_choice: Option<ToolChoiceField>,
    pub(crate) parallel: bool,
    pub(crate) format: Option<ResponseFormat>,
}

/// How a chat is answered.
pub(crate) struct Plan {
    pub(crate) prompt: Vec<u32>,
    pub(crate) attached: Attached,
    /// Finds calls in the answer's text; none where there are no tools.
    pub(crate) parser: Option<ToolParser>,
}

/// Makes the plan. Takes the processor: not for the runtime's threads.
pub(crate) fn plan(app: &App, wishes: Wishes) -> Result<Plan, ApiError> {
    let tools = read_tools(wishes.tools.as_ref())?;
    let choice = read_choice(wishes.tool_choice.as_ref(), &tools)?;
    let offers = !tools.is_empty() && choice != ToolChoice::None;
    let form = json_grammar(wishes.format)?;
    let is_formed = form.is_some();
    let grammar = if offers {
        let grammar = form.unwrap_or_else(Grammar::text).or_tools(&tools, &choice, wishes.parallel, app.tool_format);
        Some(grammar.map_err(|error| of_grammar("tools", &error))?)
    } else {
        form
    };
    let told = wishes.tools.as_ref().filter(|_| offers);
    let prompt = crate::prompt::chat_tokens(app, wishes.messages, told)?;
    let param = if offers { "tools" } else { "response_format" };
    let constraint = grammar.map(|grammar| constrain(app, param, &grammar)).transpose()?;
    let mut attached = Attached { constraint, ..Attached::default() };
    let mut parser = None;
    if offers {
        let format: ToolFormat = app.tool_format;
        let decoder = StreamDecoder::new(&app.model.tokenizer).showing(format.marks());
        attached.text = Some(Box::new(Text(decoder)));
        let names = tools.iter().map(|tool| tool.name.as_str());
        let reads = ToolParser::new(format).with_names(names);
        parser = Some(if is_formed { reads.from_the_beginning() } else { reads });
    }
    Ok(Plan { prompt, attached, parser })
}

fn read_tools(tools: Option<&Value>) -> Result<Vec<Tool>, ApiError> {
    tools.map_or(Ok(Vec::new()), Tool::list).map_err(|error| of_grammar("tools", &error))
}

fn read_choice(choice: Option<&ToolChoiceField>, tools: &[Tool]) -> Result<ToolChoice, ApiError> {
    let refuse = |message: &str| Err(ApiError::invalid("tool_choice", message));
    let read = match choice {
        None => return Ok(if tools.is_empty() { ToolChoice::None } else { ToolChoice::Auto }),
        Some(ToolChoiceField::Mode(mode)) => match mode.as_str() {
            "none" => return Ok(ToolChoice::None),
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => return refuse("tool_choice must be none, auto, required or a function"),
        },
        Some(ToolChoiceField::Function(object)) => {
            let name = object.get("function").and_then(|function| function.get("name")).or_else(|| object.get("name"));
            match name.and_then(Value::as_str) {
                Some(name) if tools.iter().any(|tool| tool.name == name) => ToolChoice::Function(name.to_owned()),
                Some(name) => return refuse(&format!("the function {name:.64?} is not among the tools")),
                None => return refuse("tool_choice needs function.name"),
            }
        }
    };
    match read {
        ToolChoice::Auto if tools.is_empty() => Ok(ToolChoice::None),
        _ if tools.is_empty() => refuse("tool_choice asks for a call: send tools too"),
        read => Ok(read),
    }
}

fn json_grammar(format: Option<ResponseFormat>) -> Result<Option<Grammar>, ApiError> {
    let Some(format) = format else { return Ok(None) };
    match format.kind.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Grammar::json_object())),
        "json_schema" => {
            let schema = format.json_schema.and_then(|json| Some((json.schema?, json.strict.unwrap_or(false))));
            let Some((schema, strict)) = schema else {
                let message = "json_schema.schema is missing";
                return Err(ApiError::invalid("response_format.json_schema.schema", message));
            };
            let grammar = Grammar::json_schema(&schema, strict);
            grammar.map(Some).map_err(|error| of_grammar("response_format.json_schema.schema", &error))
        }
        other => {
            let message = format!("type {other:.40?}: it must be text, json_object or json_schema");
            Err(ApiError::invalid("response_format.type", message))
        }
    }
}

fn constrain(app: &App, param: &str, grammar: &Grammar) -> Result<Box<dyn Constraint>, ApiError> {
    let vocabulary = app.vocabulary.as_ref().map_err(|problem| ApiError::unsupported(param, problem.clone()))?;
    let matcher = vocabulary.matcher(grammar).map_err(|error| of_grammar(param, &error))?;
    Ok(Box::new(Held(matcher)))
}

fn of_grammar(param: &str, error: &Error) -> ApiError {
    ApiError::new(400, "invalid_request_error", "invalid_schema", error.to_string()).of(param)
}

/// A grammar's matcher as the engine takes it: neither crate knows the other.
struct Held(Matcher);

impl Constraint for Held {
    fn allowed(&mut self) -> Result<Option<&[u32]>, String> {
        self.0.allowed()
    }

    fn accept(&mut self, id: u32) -> Result<(), String> {
        self.0.accept(id)
    }
}

/// A decoder as the engine takes it.
pub(crate) struct Text(pub(crate) StreamDecoder);

impl TextStream for Text {
    fn push(&mut self, id: u32) -> String {
        self.0.push(id)
    }

    fn finish(&mut self) -> String {
        self.0.finish()
    }
}
