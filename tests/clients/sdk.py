"""Checks that hold for the `openai` and the `groq` SDK alike; both are made by the same generator."""

import asyncio
import json

from harness import (
    ALIAS,
    HARD_FORM,
    HARD_QUESTION,
    KEY,
    LONG,
    MODEL,
    NARROW_URL,
    QUESTION,
    TREE_QUESTION,
    TREE_SCHEMA,
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


class Sdk:
    """An SDK with a client of the server; `path` is what its base URL ends in."""

    def __init__(self, module, client, asynchronous, url, path):
        self.module, self.make, self.make_async = module, client, asynchronous
        self.url, self.path = url, path
        self.client = self.at()
        self.chat = self.client.chat.completions.create

    def at(self, url=None, key=KEY):
        """A client that does not try again."""
        return self.make(base_url=(url or self.url) + self.path, api_key=key, max_retries=0, timeout=60)

    def plain(self, **fields):
        """A short answer with the most likely tokens."""
        return self.chat(**{"model": MODEL, "messages": QUESTION, "max_tokens": 12, "temperature": 0, **fields})


def digest(answer):
    """What an answer says of its own tokens."""
    found = answer.model_extra["x_lockstep"]["output_digest"]
    assert len(found) == 64, found
    return found


def text_of(chunks):
    """The content of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def add_checks(sdk):
    """All that both SDKs must be able to do."""
    add_answers(sdk)
    add_constrained(sdk)
    add_errors(sdk)


def add_answers(sdk):
    """Answers and the ways to get them."""

    @check
    def models():
        names = [model.id for model in sdk.client.models.list().data]
        assert MODEL in names and ALIAS in names, names
        equal(sdk.client.models.retrieve(MODEL).id, MODEL, "id")
        equal(sdk.client.models.retrieve(ALIAS).id, ALIAS, "id")

    @check
    def plain():
        answer = sdk.plain()
        choice = answer.choices[0]
        assert choice.message.content, answer
        equal(choice.message.role, "assistant", "role")
        equal(choice.message.tool_calls or None, None, "tool_calls")
        equal(choice.logprobs, None, "logprobs")
        assert choice.finish_reason in ("stop", "length"), choice
        assert answer.system_fingerprint and answer.id, answer
        adds_up(answer.usage, 12)
        digest(answer)
        equal(sdk.plain(model=ALIAS).choices[0].message.content, choice.message.content, "answer by the other name")

    @check
    def stop():
        text = sdk.plain().choices[0].message.content
        word = text.split()[1]
        choice = sdk.plain(stop=[word]).choices[0]
        equal(choice.message.content, text[: text.index(word)], "text before the stop")
        equal(choice.finish_reason, "stop", "finish_reason")

    @check
    def streaming():
        whole = sdk.plain()
        chunks = list(sdk.plain(stream=True))
        equal(text_of(chunks), whole.choices[0].message.content, "text of the stream")
        equal(chunks[0].choices[0].delta.role, "assistant", "role")
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
        equal(reasons, [whole.choices[0].finish_reason], "finish_reason")

    @check
    def logprobs():
        answer = sdk.plain(logprobs=True, top_logprobs=3)
        content = answer.choices[0].logprobs.content
        equal("".join(token.token for token in content).removesuffix("<|im_end|>"), answer.choices[0].message.content)
        for token in content:
            equal(len(token.top_logprobs), 3, "top_logprobs")
            equal(token.top_logprobs[0].token, token.token, "the most likely token")
            ordered = [top.logprob for top in token.top_logprobs]
            equal(ordered, sorted(ordered, reverse=True), "order")
            assert token.logprob <= 0 and bytes(token.bytes).decode(errors="replace"), token
        chunks = sdk.plain(logprobs=True, top_logprobs=3, stream=True)
        streamed = [c.choices[0].logprobs.content for c in chunks if c.choices and c.choices[0].logprobs]
        equal([token for tokens in streamed for token in tokens], content, "log-probabilities of the stream")

    @check
    def seed():
        first, second, other = (sdk.plain(temperature=1, seed=seed) for seed in (7, 7, 8))
        equal(first.choices[0].message, second.choices[0].message, "answer")
        equal(digest(first), digest(second), "digest")
        equal(first.system_fingerprint, second.system_fingerprint, "fingerprint")
        assert digest(first) != digest(other), "another seed gives the same answer"

    @check
    def raw_response():
        raw = sdk.client.chat.completions.with_raw_response.create(model=MODEL, messages=QUESTION, max_tokens=2)
        assert raw.headers["x-request-id"].startswith("req_"), raw.headers
        assert raw.parse().choices[0].message.content, raw

    @check
    def concurrent():
        questions = [[{"role": "user", "content": f"Count to {n}."}] for n in range(3, 7)]
        alone = [digest(sdk.plain(messages=messages)) for messages in questions]

        async def together():
            async with sdk.make_async(base_url=sdk.url + sdk.path, api_key=KEY, max_retries=0) as client:
                calls = [
                    client.chat.completions.create(model=MODEL, messages=m, max_tokens=12, temperature=0)
                    for m in questions
                ]
                return [digest(answer) for answer in await asyncio.gather(*calls)]

        equal(asyncio.run(together()), alone, "digests beside each other and alone")

    @check
    def abort():
        narrow = sdk.at(NARROW_URL)
        stream = narrow.chat.completions.create(
            model=MODEL, messages=LONG, max_tokens=2000, stream=True, extra_body={"ignore_eos": True}
        )
        pieces = iter(stream)
        for _ in range(3):
            next(pieces)
        stream.close()
        # One place: this waits until the stream's is free, which by itself would take many seconds.
        answer = narrow.with_options(timeout=5).chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=4)
        assert answer.choices[0].message.content, answer
        becomes_idle()


def add_constrained(sdk):
    """Answers of a given form."""

    forced = {"type": "function", "function": {"name": "get_weather"}}
    tools = {"messages": WEATHER_QUESTION, "tools": [WEATHER_TOOL], "max_tokens": 64}

    @check
    def tools_forced():
        for choice in ({"tool_choice": forced}, {"tool_choice": "required", "parallel_tool_calls": False}):
            answer = sdk.plain(**tools, **choice).choices[0]
            equal(len(answer.message.tool_calls), 1, "calls")
            equal(answer.finish_reason, "tool_calls", "finish_reason")
            call = answer.message.tool_calls[0]
            equal((call.type, call.function.name), ("function", "get_weather"), "call")
            is_weather(call.function.arguments)

    @check
    def tools_streamed():
        whole = sdk.plain(**tools, tool_choice=forced).choices[0].message.tool_calls[0]
        deltas = [
            call
            for chunk in sdk.plain(**tools, tool_choice=forced, stream=True)
            if chunk.choices
            for call in chunk.choices[0].delta.tool_calls or []
        ]
        equal(deltas[0].function.name, "get_weather", "name")
        assert deltas[0].id, deltas[0]
        arguments = "".join(delta.function.arguments or "" for delta in deltas if delta.index == 0)
        equal(arguments, whole.function.arguments, "arguments of the stream")

    @check
    def tools_answered():
        message = sdk.plain(**tools, tool_choice=forced).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": json.dumps({"sky": "clear"})}
        messages = [*WEATHER_QUESTION, message.model_dump(exclude_none=True), result]
        answer = sdk.plain(messages=messages, tools=[WEATHER_TOOL], tool_choice="none")
        assert answer.choices[0].message.content, answer
        equal(answer.choices[0].message.tool_calls or None, None, "tool_calls")

    @check
    def json_schema():
        form = {"type": "json_schema", "json_schema": {"name": "tree", "strict": True, "schema": TREE_SCHEMA}}
        is_tree(sdk.plain(messages=TREE_QUESTION, response_format=form, max_tokens=64).choices[0].message.content)
        chunks = sdk.plain(messages=TREE_QUESTION, response_format=form, max_tokens=64, stream=True)
        is_tree(text_of(chunks))

    @check
    def json_object():
        question = [{"role": "user", "content": 'Reply with {"a": 1} in JSON.'}]
        form = {"type": "json_object"}
        choice = sdk.plain(messages=question, response_format=form, max_tokens=48).choices[0]
        assert choice.message.content.lstrip().startswith("{"), choice
        if choice.finish_reason == "stop":
            assert isinstance(json.loads(choice.message.content), dict), choice


def add_errors(sdk):
    """Each refusal as the exception that the SDK has for it."""
    module = sdk.module

    @check
    def bad_request():
        error = raises(module.BadRequestError, 400, lambda: sdk.plain(temperature=9))
        # One SDK gives the whole body, the other what is under `error`.
        equal(error.body.get("error", error.body)["param"], "temperature", "param")
        raises(module.BadRequestError, 400, lambda: sdk.plain(messages=[]))
        raises(module.BadRequestError, 400, lambda: sdk.plain(n=2))
        image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
        raises(module.BadRequestError, 400, lambda: sdk.plain(messages=[{"role": "user", "content": [image]}]))

    @check
    def too_long():
        text = "word " * 20000
        error = raises(module.BadRequestError, 400, lambda: sdk.plain(messages=[{"role": "user", "content": text}]))
        assert "context_length_exceeded" in str(error.body), error.body

    @check
    def unprocessable():
        fields = {"messages": HARD_QUESTION, "response_format": HARD_FORM, "max_tokens": 64}
        error = raises(module.UnprocessableEntityError, 422, lambda: sdk.plain(**fields))
        written = error.body.get("error", error.body)["failed_generation"]
        assert written.startswith('"') and len(written) > 1, written
        # A stream tells it as its last event, after what there was.
        pieces = []
        try:
            for chunk in sdk.plain(**fields, stream=True):
                pieces.append(chunk)
        except module.APIError as broken:
            told = broken.body.get("error", broken.body)
            equal((told["code"], told["failed_generation"]), ("constrained_generation_failed", written), "error")
        else:
            raise AssertionError("the stream ends as if it were whole")
        equal(text_of(pieces), written, "text of the stream")

    @check
    def not_found():
        raises(module.NotFoundError, 404, lambda: sdk.plain(model="no-such-model"))
        raises(module.NotFoundError, 404, lambda: sdk.client.models.retrieve("no/such-model"))

    @check
    def authentication():
        client = sdk.at(key=WRONG_KEY)
        raises(module.AuthenticationError, 401, lambda: client.models.list())
        call = client.chat.completions.create
        raises(module.AuthenticationError, 401, lambda: call(model=MODEL, messages=QUESTION, stream=True))

    @check
    def rate_limit():
        narrow = sdk.at(NARROW_URL)
        fields = {"model": MODEL, "messages": LONG, "max_tokens": 2000, "extra_body": {"ignore_eos": True}}
        with Full(lambda: narrow.chat.completions.create(**fields, stream=True)):
            call = narrow.chat.completions.create
            error = raises(module.RateLimitError, 429, lambda: call(model=MODEL, messages=QUESTION, max_tokens=2))
            assert int(error.response.headers["retry-after"]) >= 1, error.response.headers
        # The SDK's own second tries get through, once places are free.
        patient = narrow.with_options(max_retries=3).chat.completions.create
        assert patient(model=MODEL, messages=QUESTION, max_tokens=2).choices[0].message.content
