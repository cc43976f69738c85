// What the checks of all JavaScript clients share; the same as harness.py.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const need = (name) => {
  const value = process.env[name];
  assert.ok(value, `${name} is not set: run \`cargo xtask clients\``);
  return value;
};

export const URL = need("LOCKSTEP_URL");
export const KEY = need("LOCKSTEP_KEY");
export const MODEL = need("LOCKSTEP_MODEL");
/** A second name of the model, with a slash in it. */
export const ALIAS = need("LOCKSTEP_ALIAS");
/** The same model behind one place only: one request runs, one waits. */
export const NARROW_URL = need("LOCKSTEP_NARROW_URL");

export const QUESTION = [{ role: "user", content: "Name three colours." }];
export const LONG = [{ role: "user", content: "Tell a long story about a lighthouse." }];
export const TREE_QUESTION = [{ role: "user", content: "Describe a tree in JSON." }];
export const WEATHER_QUESTION = [{ role: "user", content: "What will the weather be in Oslo in the next 3 days?" }];

export const TREE_SCHEMA = {
  type: "object",
  properties: {
    kind: { type: "string", enum: ["oak", "pine", "birch"] },
    is_tall: { type: "boolean" },
    age: { type: "integer", minimum: 0, maximum: 99 },
  },
  required: ["kind", "is_tall", "age"],
  additionalProperties: false,
};

export const WEATHER_TOOL = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of the next days",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string", enum: ["Paris", "Oslo", "Lima"] },
        days: { type: "integer", minimum: 1, maximum: 9 },
      },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
};

/** A text of this form can be begun, but following it takes more work than the server gives an answer. */
export const HARD_FORM = {
  type: "json_schema",
  json_schema: { name: "hard", schema: { type: "string", pattern: "^(.*a.{20}|.*b.{30}|.*c.{40})$" } },
};
export const HARD_QUESTION = [{ role: "user", content: "Write a long sentence in JSON." }];

const checks = [];

/** Adds a check by its name. */
export function check(name, run) {
  checks.push([name, run]);
}

/** Runs all checks; the exit status says whether all passed. */
export async function main(client, packageName) {
  const manifest = new globalThis.URL(`node_modules/${packageName}/package.json`, import.meta.url);
  const { version } = JSON.parse(readFileSync(manifest, "utf8"));
  for (const [name, run] of checks) {
    const begun = performance.now();
    let error = null;
    try {
      await run();
    } catch (reason) {
      const where = String(reason?.stack ?? "").split("\n").find((line) => /\/(sdk|\w+_client)\.mjs/.test(line));
      error = `${reason?.name}: ${reason?.message}\n${where ?? ""}`;
      process.exitCode = 1;
    }
    const seconds = Math.round(performance.now() - begun) / 1000;
    console.log(JSON.stringify({ client: `${client} (npm)`, version, check: name, error, seconds }));
  }
}

export function isTree(text) {
  const value = JSON.parse(text);
  assert.deepEqual(Object.keys(value).sort(), ["age", "is_tall", "kind"]);
  assert.ok(["oak", "pine", "birch"].includes(value.kind), text);
  assert.ok(typeof value.is_tall === "boolean" && Number.isInteger(value.age), text);
}

export function isWeather(text) {
  const value = JSON.parse(text);
  assert.deepEqual(Object.keys(value).sort(), ["city", "days"]);
  assert.ok(["Paris", "Oslo", "Lima"].includes(value.city), text);
  assert.ok(Number.isInteger(value.days) && value.days >= 1 && value.days <= 9, text);
}

export function addsUp(usage, most) {
  assert.equal(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens);
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens >= 1 && usage.completion_tokens <= most);
}

/** Fails unless the call throws this very class with this status; gives what it threw. */
export async function raises(kind, status, call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    assert.equal(error.constructor, kind, `${error.constructor.name}, not ${kind.name}: ${error.message}`);
    assert.equal(error.status, status);
    return error;
  }
  assert.fail(`no ${kind.name}, but ${JSON.stringify(answer)}`);
}

/** Fails unless the server lets go of all requests soon, by its own metrics. */
export async function becomesIdle() {
  const begun = performance.now();
  for (;;) {
    const answer = await fetch(`${URL}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
    assert.equal(answer.status, 200, "/metrics");
    const found = [...(await answer.text()).matchAll(/^lockstep_requests_running(?:\{[^}]*\})? ([0-9.e+-]+)$/gm)];
    assert.ok(found.length > 0, "/metrics has no lockstep_requests_running");
    if (found.every(([, value]) => Number(value) === 0)) return;
    assert.ok(performance.now() - begun < 5000, "still running after 5 s");
    await new Promise((done) => setTimeout(done, 20));
  }
}
