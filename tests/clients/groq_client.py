"""Checks of the `groq` Python SDK, whose addresses lie under `/openai/v1`."""

import groq

import harness
from harness import MODEL, URL, adds_up, check, equal, raises
from sdk import Sdk, add_checks

SDK = Sdk(groq, groq.Groq, groq.AsyncGroq, URL, "")
add_checks(SDK)


@check
def streaming_usage():
    """The first chunk names the request, the last one that has a choice tells its usage."""
    whole = SDK.plain()
    chunks = list(SDK.plain(stream=True))
    assert chunks[0].x_groq.id.startswith("req_"), chunks[0]
    equal([chunk for chunk in chunks[:-1] if chunk.x_groq and chunk.x_groq.usage], [], "usage before the last chunk")
    usage = chunks[-1].x_groq.usage
    adds_up(usage, 12)
    equal(usage.completion_tokens, whole.usage.completion_tokens, "completion_tokens")
    assert abs(usage.prompt_time + usage.completion_time - usage.total_time) < 1e-6, usage


@check
def times():
    """Answers tell how long their parts took."""
    answer = SDK.plain(seed=5)
    usage = answer.usage
    assert usage.queue_time >= 0 and usage.prompt_time > 0 and usage.completion_time > 0, usage
    assert answer.x_groq.id.startswith("req_"), answer
    equal(answer.model_extra.get("service_tier", getattr(answer, "service_tier", None)), "on_demand", "service_tier")


@check
def embeddings():
    """This model gives none; that is said so."""
    raises(groq.BadRequestError, 400, lambda: SDK.client.embeddings.create(model=MODEL, input="a text"))


if __name__ == "__main__":
    harness.main("groq", groq.__version__)
