"""Checks of `langchain-groq`, whose client is the `groq` SDK."""

import gc
import importlib.metadata
from typing import Literal

import groq
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_groq import ChatGroq
from pydantic import BaseModel, Field

import harness
from harness import KEY, MODEL, NARROW_URL, URL, WRONG_KEY, Full, becomes_idle, check, equal, raises

QUESTION = "Name three colours."


def chat(url=URL, key=KEY, **fields):
    """A chat model that gives a short answer with the most likely tokens."""
    known = {"model": MODEL, "base_url": url, "api_key": key, "max_retries": 0, "timeout": 60, "temperature": 0}
    return ChatGroq(**{**known, "max_tokens": 12, **fields})


@tool
def get_weather(city: Literal["Paris", "Oslo", "Lima"], days: Literal[1, 2, 3]) -> str:
    """The weather of the next days."""
    return f"clear in {city} for {days} days"


class Tree(BaseModel):
    """A tree."""

    kind: Literal["oak", "pine", "birch"]
    is_tall: bool
    age: int = Field(ge=0, le=99)


@check
def plain():
    """A message with its usage."""
    message = chat().invoke(QUESTION)
    assert message.content, message
    usage = message.usage_metadata
    equal(usage["input_tokens"] + usage["output_tokens"], usage["total_tokens"], "total_tokens")
    assert message.response_metadata["system_fingerprint"], message
    assert message.response_metadata["finish_reason"] in ("stop", "length"), message


@check
def streaming_usage():
    """Chunks that add up to the message and its usage."""
    whole = chat().invoke(QUESTION)
    total = None
    for chunk in chat().stream(QUESTION):
        total = chunk if total is None else total + chunk
    equal(total.content, whole.content, "text")
    equal(total.usage_metadata["output_tokens"], whole.usage_metadata["output_tokens"], "usage")


@check
def tools_forced():
    """A tool is called, run, and its result answered."""
    model = chat(max_tokens=64).bind_tools([get_weather], tool_choice="get_weather")
    question = HumanMessage("What will the weather be in Oslo in the next 3 days?")
    message = model.invoke([question])
    call = message.tool_calls[0]
    equal(call["name"], "get_weather", "name")
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage) and result.content.startswith("clear in "), result
    answer = chat().invoke([question, message, result])
    assert isinstance(answer, AIMessage) and answer.content, answer


@check
def json_schema():
    """A pydantic class in, an object of it out: by a schema, and by a tool."""
    for method in ("json_schema", "function_calling"):
        tree = chat(max_tokens=64).with_structured_output(Tree, method=method).invoke("Describe a tree in JSON.")
        assert isinstance(tree, Tree), tree


@check
def logprobs():
    """Log-probabilities in the message's metadata."""
    message = chat().bind(logprobs=True, top_logprobs=2).invoke(QUESTION)
    content = message.response_metadata["logprobs"]["content"]
    equal([len(token["top_logprobs"]) for token in content], [2] * len(content), "top_logprobs")


@check
def seed():
    """Equal seeds, equal answers."""
    first, second, other = (chat(temperature=1, model_kwargs={"seed": n}).invoke(QUESTION).content for n in (7, 7, 8))
    equal(first, second, "text")
    assert first != other, "another seed gives the same answer"


@check
def errors():
    """Each refusal as the exception of the SDK below."""
    raises(groq.BadRequestError, 400, lambda: chat(model_kwargs={"top_p": 7}).invoke(QUESTION))
    raises(groq.NotFoundError, 404, lambda: chat(model="no-such-model").invoke(QUESTION))
    raises(groq.AuthenticationError, 401, lambda: chat(key=WRONG_KEY).invoke(QUESTION))


@check
def rate_limit():
    """A full queue."""
    message = {"role": "user", "content": "Tell a long story about a lighthouse."}
    fields = {"model": MODEL, "messages": [message], "max_tokens": 2000, "extra_body": {"ignore_eos": True}}
    with Full(lambda: chat(NARROW_URL).client.create(**fields, stream=True)):
        raises(groq.RateLimitError, 429, lambda: chat(NARROW_URL).invoke(QUESTION))


@check
def abort():
    """A stream that is left gives its place back."""
    model = chat(NARROW_URL, max_tokens=2000, model_kwargs={"extra_body": {"ignore_eos": True}})
    stream = model.stream("Tell a long story about a lighthouse.")
    for _ in range(3):
        next(stream)
    stream.close()
    # The SDK below closes the connection when its response is forgotten, and the response is part of a cycle.
    gc.collect()
    assert chat(NARROW_URL, timeout=5).invoke(QUESTION).content
    becomes_idle()


if __name__ == "__main__":
    harness.main("langchain-groq", importlib.metadata.version("langchain-groq"))
