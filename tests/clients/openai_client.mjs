// Checks of `openai` from npm: `node openai_client.mjs PACKAGE`, with the name that it is installed by.

import assert from "node:assert/strict";
import { addsUp, check, isTree, main, MODEL, QUESTION, raises, TREE_QUESTION } from "./harness.mjs";
import { addChecks, gathered, textOf } from "./sdk.mjs";

const packageName = process.argv[2] ?? "openai";
const module = await import(packageName);
const { zodResponseFormat } = await import(`${packageName}/helpers/zod`);
const { z } = await import("zod");
const sdk = addChecks(module, "/v1");
const { client } = sdk;

check("streaming_usage", async () => {
  const whole = await sdk.plain();
  const chunks = await gathered(sdk.plain({ stream: true, stream_options: { include_usage: true } }));
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.deepEqual(chunks.slice(0, -1).filter((chunk) => chunk.usage), []);
  addsUp(last.usage, 12);
  assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
  assert.equal(textOf(chunks), whole.choices[0].message.content);
});

check("parse", async () => {
  const Tree = z.object({
    kind: z.enum(["oak", "pine", "birch"]),
    is_tall: z.boolean(),
    age: z.number().int().min(0).max(99),
  });
  const answer = await client.chat.completions.parse({
    model: MODEL,
    messages: TREE_QUESTION,
    response_format: zodResponseFormat(Tree, "tree"),
    max_tokens: 64,
    temperature: 0,
  });
  isTree(JSON.stringify(answer.choices[0].message.parsed));
});

check("completions", async () => {
  const fields = { model: MODEL, prompt: "The sky is", max_tokens: 8, temperature: 0 };
  const { text } = (await client.completions.create(fields)).choices[0];
  assert.ok(text);
  const chunks = await gathered(client.completions.create({ ...fields, stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), text);
});

check("responses", async () => {
  const fields = { model: MODEL, input: "Name three colours.", max_output_tokens: 16, temperature: 0 };
  const answer = await client.responses.create(fields);
  assert.ok(answer.output_text);
  const events = await gathered(client.responses.create({ ...fields, stream: true }));
  assert.equal(events[0].type, "response.created");
  const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
  assert.equal(deltas.join(""), answer.output_text);
  await raises(module.BadRequestError, 400, () => client.responses.create({ ...fields, store: true }));
});

check("stream_helper", async () => {
  const fields = { model: MODEL, messages: QUESTION, max_tokens: 12, temperature: 0 };
  const whole = (await client.chat.completions.create(fields)).choices[0].message.content;
  const stream = client.chat.completions.stream(fields);
  assert.equal(await stream.finalContent(), whole);
});

check("embeddings", () =>
  raises(module.BadRequestError, 400, () => client.embeddings.create({ model: MODEL, input: "a text" })));

await main("openai", packageName);
