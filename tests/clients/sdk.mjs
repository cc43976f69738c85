// Checks that hold for `openai` and `groq-sdk` from npm alike; both are made by the same generator.

import assert from "node:assert/strict";
import * as harness from "./harness.mjs";
import { ALIAS, KEY, LONG, MODEL, NARROW_URL, QUESTION, TREE_QUESTION, WEATHER_QUESTION } from "./harness.mjs";
import { check, raises } from "./harness.mjs";

const digest = (answer) => {
  const found = answer.x_lockstep.output_digest;
  assert.equal(found.length, 64);
  return found;
};

/** All pieces of a stream. */
export async function gathered(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

export const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

/** Adds the checks of an SDK module whose base URLs end in `path`; gives a client and a way to a short answer. */
export function addChecks(module, path) {
  const at = (url, apiKey = KEY) => new module.default({ baseURL: url + path, apiKey, maxRetries: 0, timeout: 60_000 });
  const sdk = { module, at, client: at(harness.URL) };
  sdk.plain = (fields, options) =>
    sdk.client.chat.completions.create(
      { model: MODEL, messages: QUESTION, max_tokens: 12, temperature: 0, ...fields },
      options,
    );
  addAnswers(sdk);
  addConstrained(sdk);
  addErrors(sdk);
  return sdk;
}

function addAnswers(sdk) {
  check("models", async () => {
    const names = (await sdk.client.models.list()).data.map((model) => model.id);
    assert.ok(names.includes(MODEL) && names.includes(ALIAS), names.join());
    assert.equal((await sdk.client.models.retrieve(ALIAS)).id, ALIAS);
  });

  check("plain", async () => {
    const answer = await sdk.plain();
    assert.ok(answer.choices[0].message.content && answer.system_fingerprint);
    assert.ok(["stop", "length"].includes(answer.choices[0].finish_reason));
    assert.equal(answer.choices[0].logprobs, null);
    harness.addsUp(answer.usage, 12);
    digest(answer);
  });

  check("streaming", async () => {
    const whole = (await sdk.plain()).choices[0];
    const chunks = await gathered(sdk.plain({ stream: true }));
    assert.equal(textOf(chunks), whole.message.content);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
    assert.deepEqual(reasons, [whole.finish_reason]);
  });

  check("logprobs", async () => {
    const { content } = (await sdk.plain({ logprobs: true, top_logprobs: 3 })).choices[0].logprobs;
    for (const token of content) {
      assert.equal(token.top_logprobs.length, 3);
      assert.equal(token.top_logprobs[0].token, token.token);
      assert.ok(token.logprob <= 0);
    }
    const chunks = await gathered(sdk.plain({ logprobs: true, top_logprobs: 3, stream: true }));
    assert.deepEqual(chunks.flatMap((chunk) => chunk.choices[0]?.logprobs?.content ?? []), content);
  });

  check("seed", async () => {
    const [first, second, other] = await Promise.all([7, 7, 8].map((seed) => sdk.plain({ temperature: 1, seed })));
    assert.deepEqual(first.choices, second.choices);
    assert.equal(digest(first), digest(second));
    assert.notEqual(digest(first), digest(other));
  });

  check("raw_response", async () => {
    const { data, response } = await sdk.plain({ max_tokens: 2 }).withResponse();
    assert.match(response.headers.get("x-request-id"), /^req_/);
    assert.ok(data.choices[0].message.content);
  });

  check("abort", async () => {
    const { completions } = sdk.at(NARROW_URL).chat;
    const leave = new AbortController();
    const fields = { model: MODEL, messages: LONG, max_tokens: 2000, ignore_eos: true, stream: true };
    const stream = await completions.create(fields, { signal: leave.signal });
    let pieces = 0;
    for await (const _ of stream) {
      pieces += 1;
      if (pieces === 3) leave.abort();
    }
    assert.ok(pieces < 100, `${pieces} pieces after the abort`);
    // One place: this waits until the stream's is free, which by itself would take many seconds.
    const short = { model: MODEL, messages: QUESTION, max_tokens: 4 };
    assert.ok((await completions.create(short, { timeout: 5000 })).choices[0].message.content);
    await harness.becomesIdle();
  });
}

function addConstrained(sdk) {
  const forced = { type: "function", function: { name: "get_weather" } };
  const tools = { messages: WEATHER_QUESTION, tools: [harness.WEATHER_TOOL], tool_choice: forced, max_tokens: 64 };

  check("tools_forced", async () => {
    const { message, finish_reason: reason } = (await sdk.plain(tools)).choices[0];
    assert.equal(reason, "tool_calls");
    assert.equal(message.tool_calls[0].function.name, "get_weather");
    harness.isWeather(message.tool_calls[0].function.arguments);
    const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "clear" };
    const messages = [...WEATHER_QUESTION, message, result];
    const answer = await sdk.plain({ messages, tools: tools.tools, tool_choice: "none" });
    assert.ok(answer.choices[0].message.content);
  });

  check("tools_streamed", async () => {
    const chunks = await gathered(sdk.plain({ ...tools, stream: true }));
    const deltas = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
    assert.equal(deltas[0].function.name, "get_weather");
    assert.ok(deltas[0].id);
    harness.isWeather(deltas.map((delta) => delta.function?.arguments ?? "").join(""));
  });

  check("json_schema", async () => {
    const form = { type: "json_schema", json_schema: { name: "tree", strict: true, schema: harness.TREE_SCHEMA } };
    const answer = await sdk.plain({ messages: TREE_QUESTION, response_format: form, max_tokens: 64 });
    harness.isTree(answer.choices[0].message.content);
  });
}

function addErrors(sdk) {
  const { BadRequestError, NotFoundError, AuthenticationError, RateLimitError, UnprocessableEntityError } = sdk.module;

  check("errors", async () => {
    const error = await raises(BadRequestError, 400, () => sdk.plain({ temperature: 9 }));
    assert.equal((error.error.error ?? error.error).param, "temperature");
    await raises(BadRequestError, 400, () => sdk.plain({ messages: [] }));
    await raises(NotFoundError, 404, () => sdk.plain({ model: "no-such-model" }));
    await raises(AuthenticationError, 401, () => sdk.at(harness.URL, "sk-not-the-key").models.list());
  });

  check("unprocessable", async () => {
    const fields = { messages: harness.HARD_QUESTION, response_format: harness.HARD_FORM, max_tokens: 64 };
    const error = await raises(UnprocessableEntityError, 422, () => sdk.plain(fields));
    const written = (error.error.error ?? error.error).failed_generation;
    assert.ok(written.startsWith('"') && written.length > 1, written);
    // A stream tells it as its last event, after what there was.
    const chunks = [];
    const read = async () => {
      for await (const chunk of await sdk.plain({ ...fields, stream: true })) chunks.push(chunk);
    };
    await assert.rejects(read, (broken) => (broken.error.error ?? broken.error).failed_generation === written);
    assert.equal(textOf(chunks), written);
  });

  check("rate_limit", async () => {
    const { completions } = sdk.at(NARROW_URL).chat;
    const fields = { model: MODEL, messages: LONG, max_tokens: 2000, ignore_eos: true, stream: true };
    const streams = [await completions.create(fields)];
    try {
      // With its first pieces it runs; only then is the place in the queue free.
      const pieces = streams[0][Symbol.asyncIterator]();
      for (let piece = 0; piece < 3; piece += 1) await pieces.next();
      streams.push(await completions.create(fields));
      const short = { model: MODEL, messages: QUESTION, max_tokens: 2 };
      await raises(RateLimitError, 429, () => completions.create(short));
    } finally {
      for (const stream of streams.reverse()) stream.controller.abort();
    }
  });
}
