"""Checks of the `openai` Python SDK."""

from typing import Literal

import openai
from pydantic import BaseModel, ConfigDict, Field

import harness
from harness import MODEL, QUESTION, TREE_QUESTION, URL, WEATHER_TOOL, adds_up, check, equal, is_weather, raises
from sdk import Sdk, add_checks, text_of

SDK = Sdk(openai, openai.OpenAI, openai.AsyncOpenAI, URL, "/v1")
client = SDK.client
add_checks(SDK)


class Tree(BaseModel):
    """A tree, as pydantic describes it."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["oak", "pine", "birch"]
    is_tall: bool
    age: int = Field(ge=0, le=99)


@check
def streaming_usage():
    """One more chunk at the end, with the usage and no choice."""
    whole = SDK.plain()
    chunks = list(SDK.plain(stream=True, stream_options={"include_usage": True}))
    equal(chunks[-1].choices, [], "choices of the last chunk")
    equal([chunk.usage for chunk in chunks[:-1] if chunk.usage], [], "usage before the last chunk")
    adds_up(chunks[-1].usage, 12)
    equal(chunks[-1].usage.completion_tokens, whole.usage.completion_tokens, "completion_tokens")
    equal(text_of(chunks), whole.choices[0].message.content, "text")


@check
def parse():
    """A pydantic class in, an object of it out."""
    answer = client.chat.completions.parse(
        model=MODEL, messages=TREE_QUESTION, response_format=Tree, max_tokens=64, temperature=0
    )
    assert isinstance(answer.choices[0].message.parsed, Tree), answer


@check
def completions():
    """Texts and token ids are continued."""
    call = {"model": MODEL, "max_tokens": 8, "temperature": 0}
    answer = client.completions.create(prompt="The sky is", **call)
    assert answer.choices[0].text, answer
    adds_up(answer.usage, 8)
    echoed = client.completions.create(prompt="The sky is", echo=True, **call)
    equal(echoed.choices[0].text, "The sky is" + answer.choices[0].text, "echo")
    chunks = list(client.completions.create(prompt="The sky is", stream=True, **call))
    equal("".join(chunk.choices[0].text for chunk in chunks if chunk.choices), answer.choices[0].text, "stream")
    with_logprobs = client.completions.create(prompt="The sky is", logprobs=2, **call).choices[0].logprobs
    equal(len(with_logprobs.tokens), len(with_logprobs.token_logprobs), "logprobs")
    assert client.completions.create(prompt=[504, 6376, 314], **call).choices[0].text


@check
def responses():
    """Whole and as events."""
    fields = {"model": MODEL, "input": "Name three colours.", "max_output_tokens": 16, "temperature": 0}
    answer = client.responses.create(**fields)
    assert answer.output_text, answer
    equal(answer.usage.input_tokens + answer.usage.output_tokens, answer.usage.total_tokens, "total_tokens")
    events = list(client.responses.create(**fields, stream=True))
    equal(events[0].type, "response.created", "first event")
    assert events[-1].type in ("response.completed", "response.incomplete"), events[-1]
    equal(events[-1].response.output_text, answer.output_text, "text of the last event")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    equal("".join(deltas), answer.output_text, "text of the deltas")
    equal([e.sequence_number for e in events], list(range(len(events))), "sequence_number")
    raises(openai.BadRequestError, 400, lambda: client.responses.create(**fields, store=True))


@check
def responses_parse():
    """A pydantic class in, an object of it out."""
    fields = {"model": MODEL, "input": "Describe a tree in JSON.", "max_output_tokens": 64, "temperature": 0}
    answer = client.responses.parse(**fields, text_format=Tree)
    assert isinstance(answer.output_parsed, Tree), answer
    with client.responses.stream(**fields, text_format=Tree) as stream:
        equal(stream.get_final_response().output_parsed, answer.output_parsed, "object of the stream")


@check
def responses_tools():
    """A function is called, and its result answered."""
    tool = {"type": "function", **WEATHER_TOOL["function"], "strict": True}
    question = {"role": "user", "content": "What will the weather be in Oslo in the next 3 days?"}
    fields = {"model": MODEL, "tools": [tool], "max_output_tokens": 64, "temperature": 0}
    forced = {"type": "function", "name": "get_weather"}
    answer = client.responses.create(**fields, input=[question], tool_choice=forced)
    call = answer.output[0]
    equal((call.type, call.name), ("function_call", "get_weather"), "call")
    is_weather(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "clear"}
    answer = client.responses.create(**fields, input=[question, call.model_dump(), result], tool_choice="none")
    assert answer.output_text, answer


@check
def chat_stream_helper():
    """The SDK's own gathering of a stream."""
    # It takes an answer that ends for its length for an error.
    fields = {"model": MODEL, "messages": QUESTION, "max_tokens": 64, "temperature": 0, "stop": [",", "\n"]}
    whole = client.chat.completions.create(**fields).choices[0].message.content
    with client.chat.completions.stream(**fields) as stream:
        for _ in stream:
            pass
        equal(stream.get_final_completion().choices[0].message.content, whole, "text")


@check
def embeddings():
    """This model gives none; that is said so."""
    raises(openai.BadRequestError, 400, lambda: client.embeddings.create(model=MODEL, input="a text"))


if __name__ == "__main__":
    harness.main("openai", openai.__version__)
