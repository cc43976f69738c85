// Checks of `groq-sdk` from npm: `node groq_client.mjs PACKAGE`, with the name that it is installed by.

import assert from "node:assert/strict";
import { addsUp, check, main, MODEL, raises } from "./harness.mjs";
import { addChecks, gathered } from "./sdk.mjs";

const packageName = process.argv[2] ?? "groq-sdk";
const module = await import(packageName);
const sdk = addChecks(module, "");

check("streaming_usage", async () => {
  const whole = await sdk.plain();
  const chunks = await gathered(sdk.plain({ stream: true }));
  assert.match(chunks[0].x_groq.id, /^req_/);
  const { usage } = chunks.at(-1).x_groq;
  addsUp(usage, 12);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  assert.ok(Math.abs(usage.prompt_time + usage.completion_time - usage.total_time) < 1e-6);
});

check("embeddings", () =>
  raises(module.BadRequestError, 400, () => sdk.client.embeddings.create({ model: MODEL, input: "a text" })));

await main("groq-sdk", packageName);
