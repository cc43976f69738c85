"""Checks of LiteLLM, as an OpenAI-compatible provider and as Groq."""

import importlib.metadata
import os

# It would ask the network for prices otherwise.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

import harness
from harness import (
    KEY,
    LONG,
    MODEL,
    NARROW_URL,
    QUESTION,
    TREE_QUESTION,
    TREE_SCHEMA,
    URL,
    WEATHER_QUESTION,
    WEATHER_TOOL,
    WRONG_KEY,
    Full,
    adds_up,
    becomes_idle,
    check,
    equal,
    is_tree,
    is_weather,
    raises,
)

litellm.telemetry = False
litellm.suppress_debug_info = True
NARROW = {"api_base": f"{NARROW_URL}/v1"}


def ask(**fields):
    """A short answer with the most likely tokens."""
    known = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": KEY, "messages": QUESTION}
    return litellm.completion(**{**known, "max_tokens": 12, "temperature": 0, "num_retries": 0, "timeout": 60, **fields})


def text_of(chunks):
    """The content of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@check
def plain():
    """By each of the providers that fit."""
    answer = ask()
    assert answer.choices[0].message.content, answer
    adds_up(answer.usage, 12)
    for model, base in ((f"groq/{MODEL}", f"{URL}/openai/v1"), (f"hosted_vllm/{MODEL}", f"{URL}/v1")):
        other = ask(model=model, api_base=base)
        equal(other.choices[0].message.content, answer.choices[0].message.content, model)


@check
def streaming_usage():
    """A stream and its usage."""
    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    equal(text_of(chunks), whole.choices[0].message.content, "text of the stream")
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    equal([usage.completion_tokens for usage in usages], [whole.usage.completion_tokens], "usage")


@check
def tools_forced():
    """A named tool, whole and streamed."""
    forced = {"type": "function", "function": {"name": "get_weather"}}
    fields = {"messages": WEATHER_QUESTION, "tools": [WEATHER_TOOL], "tool_choice": forced, "max_tokens": 64}
    choice = ask(**fields).choices[0]
    equal(choice.message.tool_calls[0].function.name, "get_weather", "name")
    is_weather(choice.message.tool_calls[0].function.arguments)
    rebuilt = litellm.stream_chunk_builder(list(ask(**fields, stream=True)))
    is_weather(rebuilt.choices[0].message.tool_calls[0].function.arguments)


@check
def json_schema():
    """An answer by a schema."""
    form = {"type": "json_schema", "json_schema": {"name": "tree", "strict": True, "schema": TREE_SCHEMA}}
    is_tree(ask(messages=TREE_QUESTION, response_format=form, max_tokens=64).choices[0].message.content)


@check
def logprobs():
    """Log-probabilities pass through."""
    content = ask(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert len(content) > 1, content
    for token in content:
        equal(len(token.top_logprobs), 2, "top_logprobs")
        equal(token.top_logprobs[0].token, token.token, "the most likely token")


@check
def seed():
    """Equal seeds, equal answers."""
    first, second = (ask(temperature=1, seed=7) for _ in range(2))
    equal(first.choices[0].message.content, second.choices[0].message.content, "text")
    equal(first.x_lockstep["output_digest"], second.x_lockstep["output_digest"], "digest")
    equal(first.system_fingerprint, second.system_fingerprint, "fingerprint")


@check
def errors():
    """Each refusal as the exception that LiteLLM has for it."""
    raises(litellm.BadRequestError, 400, lambda: ask(temperature=9))
    raises(litellm.NotFoundError, 404, lambda: ask(model="openai/no-such-model"))
    raises(litellm.AuthenticationError, 401, lambda: ask(api_key=WRONG_KEY))
    long = [{"role": "user", "content": "word " * 20000}]
    raises(litellm.ContextWindowExceededError, 400, lambda: ask(messages=long))


@check
def rate_limit():
    """A full queue."""
    begin = lambda: ask(**NARROW, messages=LONG, max_tokens=2000, stream=True, ignore_eos=True)
    with Full(lambda: Closing(begin())):
        raises(litellm.RateLimitError, 429, lambda: ask(**NARROW, max_tokens=2))


class Closing:
    """A LiteLLM stream that can be closed: LiteLLM itself leaves this to whoever holds the response."""

    def __init__(self, stream):
        self.stream = stream

    def __iter__(self):
        return iter(self.stream)

    def close(self):
        """Closes the connection below."""
        self.stream.completion_stream.close()


@check
def abort():
    """A stream that is left gives its place back."""
    stream = Closing(ask(**NARROW, messages=LONG, max_tokens=2000, stream=True, ignore_eos=True))
    pieces = iter(stream)
    for _ in range(3):
        next(pieces)
    stream.close()
    assert ask(**NARROW, max_tokens=4, timeout=5).choices[0].message.content
    becomes_idle()


@check
def completions():
    """Texts are continued."""
    answer = litellm.text_completion(
        model=f"text-completion-openai/{MODEL}",
        prompt="The sky is",
        api_base=f"{URL}/v1",
        api_key=KEY,
        max_tokens=8,
        temperature=0,
    )
    assert answer.choices[0].text, answer


@check
def responses():
    """The responses endpoint."""
    answer = litellm.responses(
        model=f"openai/{MODEL}", input="Name three colours.", api_base=f"{URL}/v1", api_key=KEY, max_output_tokens=16
    )
    assert answer.output[0].content[0].text, answer


if __name__ == "__main__":
    harness.main("litellm", importlib.metadata.version("litellm"))
