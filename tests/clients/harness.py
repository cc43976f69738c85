"""What the checks of all Python clients share: where the server is, how checks are run and told.

A script collects functions with `@check`, then calls `main(client, version)`. Each check prints one line of JSON, which
`cargo xtask clients` gathers into its table.
"""

import json
import os
import re
import time
import traceback
import urllib.request

URL = os.environ["LOCKSTEP_URL"]
KEY = os.environ["LOCKSTEP_KEY"]
MODEL = os.environ["LOCKSTEP_MODEL"]
# A second name of the model, with a slash in it.
ALIAS = os.environ["LOCKSTEP_ALIAS"]
# The same model behind one place only: one request runs, one waits.
NARROW_URL = os.environ["LOCKSTEP_NARROW_URL"]
# A key may be any text; this one is not the server's.
WRONG_KEY = "sk-not-the-key"

QUESTION = [{"role": "user", "content": "Name three colours."}]
LONG = [{"role": "user", "content": "Tell a long story about a lighthouse."}]

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Oslo", "Lima"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of the next days",
        "parameters": WEATHER_SCHEMA,
    },
}
WEATHER_QUESTION = [{"role": "user", "content": "What will the weather be in Oslo in the next 3 days?"}]

TREE_SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["oak", "pine", "birch"]},
        "is_tall": {"type": "boolean"},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["kind", "is_tall", "age"],
    "additionalProperties": False,
}
TREE_QUESTION = [{"role": "user", "content": "Describe a tree in JSON."}]

# A text of this form can be begun, but following it takes more work than the server gives an answer.
HARD_FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "hard",
        "schema": {"type": "string", "pattern": "^(.*a.{20}|.*b.{30}|.*c.{40})$"},
    },
}
HARD_QUESTION = [{"role": "user", "content": "Write a long sentence in JSON."}]

CHECKS = []


def check(function):
    """Marks a function as a check; its name is the name that is told."""
    CHECKS.append(function)
    return function


def main(client, version):
    """Runs all checks; the exit status says whether all passed."""
    failed = 0
    for function in CHECKS:
        begun = time.monotonic()
        error = None
        try:
            function()
        except Exception as reason:  # whatever a client throws is a failed check, not the end of the run
            error = f"{type(reason).__name__}: {reason}"
            frames = traceback.extract_tb(reason.__traceback__)
            here, own = os.path.split(__file__)
            ours = [f for f in frames if os.path.dirname(f.filename) == here and os.path.basename(f.filename) != own]
            error += "".join(f"\n  {os.path.basename(f.filename)}:{f.lineno}: {f.line}" for f in ours[-2:])
            failed += 1
        line = {"client": client, "version": version, "check": function.__name__, "error": error}
        print(json.dumps({**line, "seconds": round(time.monotonic() - begun, 3)}), flush=True)
    raise SystemExit(1 if failed else 0)


def equal(left, right, what="value"):
    """Fails where two values differ."""
    assert left == right, f"{what}: {left!r} is not {right!r}"


def is_weather(arguments):
    """Fails unless the text is JSON that follows the tool's schema."""
    value = json.loads(arguments)
    equal(sorted(value), ["city", "days"], "arguments")
    assert value["city"] in ["Paris", "Oslo", "Lima"], value
    assert isinstance(value["days"], int) and 1 <= value["days"] <= 9, value


def is_tree(text):
    """Fails unless the text is JSON that follows the schema of trees."""
    value = json.loads(text)
    equal(sorted(value), ["age", "is_tall", "kind"], "fields")
    assert value["kind"] in ["oak", "pine", "birch"], value
    assert isinstance(value["is_tall"], bool) and isinstance(value["age"], int), value


def adds_up(usage, most):
    """Fails unless the counts of a usage agree with each other."""
    equal(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens, "total_tokens")
    assert usage.prompt_tokens > 0 and 1 <= usage.completion_tokens <= most, usage


def raises(kind, status, call, **facts):
    """Fails unless the call throws this very class, with this status and with these facts; returns what it threw."""
    try:
        answer = call()
    except kind as error:
        assert type(error) is kind, f"{type(error).__name__}, not {kind.__name__}: {error}"
        equal(getattr(error, "status_code", status), status, "status")
        for name, expected in facts.items():
            equal(getattr(error, name), expected, name)
        return error
    raise AssertionError(f"no {kind.__name__}, but {answer!r}")


def running():
    """How many requests the server has in hand, by its own metrics."""
    request = urllib.request.Request(f"{URL}/metrics", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^lockstep_requests_running(?:\{[^}]*\})? ([0-9.e+-]+)$", text, re.MULTILINE)
    assert found, "/metrics has no lockstep_requests_running"
    return sum(float(value) for value in found)


def becomes_idle(within=5.0):
    """Fails unless the server lets go of all requests soon."""
    begun = time.monotonic()
    while running() > 0:
        assert time.monotonic() - begun < within, f"still running after {within} s"
        time.sleep(0.02)


class Full:
    """While it lasts, both places of the narrow server are taken, by streams that `begin` opens."""

    def __init__(self, begin):
        self.begin = begin
        self.streams = []

    def __enter__(self):
        first = self.begin()
        self.streams.append(first)
        # With its first pieces it runs; only then is the place in the queue free.
        for _ in range(3):
            next(iter(first))
        self.streams.append(self.begin())

    def __exit__(self, *_):
        for stream in reversed(self.streams):
            stream.close()
