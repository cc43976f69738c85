// What needs no browser: `npm test`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { code } from "../src/code";
import { compare } from "../src/compare";
import { blocks } from "../src/markdown";
import { Run } from "../src/run";
import { DEFAULTS, request, requests, stops } from "../src/settings";
import { EventReader } from "../src/sse";
import { exactTime, gaps, percentile, perSecond, rate, time, wholeMs } from "../src/stats";

const HISTORY = [{ role: "user" as const, content: 'It\'s "quoted"\n\u00fc \\ $HOME' }];

test("events are the same wherever the network cuts them", () => {
  const text = 'data: {"a":1}\r\n\r\n: comment\n\ndata:{"b":2}\n\nevent: x\ndata: one\ndata: two\n\ndata: [DONE]\n\n';
  const expected = ['{"a":1}', '{"b":2}', "one\ntwo", "[DONE]"];
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventReader();
    assert.deepEqual([...reader.push(text.slice(0, cut)), ...reader.push(text.slice(cut))], expected);
  }
  const reader = new EventReader();
  assert.deepEqual([...text].flatMap((letter) => reader.push(letter)), expected);
});

test("a request has what is set and no more", () => {
  const plain = request({ ...DEFAULTS, model: "m" }, HISTORY);
  const names = ["model", "messages", "temperature", "max_completion_tokens", "stream", "stream_options"];
  assert.deepEqual(Object.keys(plain), names);
  const settings = { ...DEFAULTS, model: "m", system: "Be brief.", top_p: 0.9, top_k: 4, max_tokens: null, seed: 0, stop: "a\n\\n" };
  const full = request({ ...settings, format: "json_schema" }, HISTORY);
  assert.equal(full.messages[0]?.role, "system");
  assert.deepEqual([full.top_p, full.top_k, full.seed, full.max_completion_tokens], [0.9, 4, 0, undefined]);
  assert.deepEqual(full.stop, ["a", "\n"]);
  assert.equal(full.response_format?.type, "json_schema");
  assert.throws(() => request({ ...DEFAULTS, format: "json_schema", schema: "{" }, HISTORY), /schema in the settings/);
  assert.deepEqual(stops("\n\n"), []);
});

test("streams have one seed, or each its own", () => {
  const seeds = (of: "same" | "different", seed: number | null) =>
    requests({ ...DEFAULTS, streams: 8, seeds: of, seed }, HISTORY).map((each) => each.seed);
  assert.deepEqual(seeds("same", 7), Array(8).fill(7));
  assert.deepEqual(seeds("different", 7), [7, 8, 9, 10, 11, 12, 13, 14]);
  assert.equal(new Set(seeds("same", null)).size, 1);
  assert.equal(new Set(seeds("different", null)).size, 8);
  assert.ok(seeds("same", null).every((seed) => Number.isSafeInteger(seed)));
});

test("a replay asks for the seed that was drawn, and else for the same", () => {
  const asked = request({ ...DEFAULTS, model: "m", stop: "x", format: "json_object" }, HISTORY);
  const run = new Run(asked);
  assert.deepEqual(run.replay, asked);
  run.seed = 12;
  assert.deepEqual(run.replay, { ...asked, seed: 12 });
  const kept = new Run(request({ ...DEFAULTS, model: "m", stop: "x", format: "json_object", seed: 12 }, HISTORY));
  assert.equal(JSON.stringify(run.replay), JSON.stringify(kept.replay));
});

test("code holds the exact request", () => {
  const asked = request({ ...DEFAULTS, model: "m", top_k: 4, seed: 3, stop: "it's", format: "json_schema" }, HISTORY);
  const curl = code("curl", asked, "http://host:1");
  const body = /-d '([\s\S]*)'\n$/.exec(curl)?.[1]?.replaceAll("'\\''", "'");
  assert.deepEqual(JSON.parse(body ?? ""), asked);
  const python = code("Python", asked, "http://host:1");
  assert.match(python, /^ {4}seed=3,$/m);
  assert.match(python, /^ {4}extra_body=\{"top_k": 4\},$/m);
  assert.match(python, /"strict": True/);
  assert.match(python, /"additionalProperties": False/);
  assert.match(python, /^ {4}for choice in chunk\.choices:$/m);
  const javascript = code("JavaScript", asked, "http://host:1");
  assert.match(javascript, /^ {2}top_k: 4,$/m);
  assert.match(javascript, /baseURL: "http:\/\/host:1\/v1"/);
});

test("code is of its language", () => {
  const folder = mkdtempSync(join(tmpdir(), "lockstep-code-"));
  const asked = request({ ...DEFAULTS, model: "m", top_k: 4, seed: 3, stop: "it's", format: "json_schema" }, HISTORY);
  const checked = (name: string, text: string, program: string, ...arguments_: string[]) => {
    const file = join(folder, name);
    writeFileSync(file, text);
    const { status, stderr } = spawnSync(program, [...arguments_, file], { encoding: "utf8" });
    assert.ok(status === 0 || status === null, `${stderr}\n${text}`);
  };
  try {
    checked("a.mjs", code("JavaScript", asked, "http://host:1"), process.execPath, "--check");
    checked("a.py", code("Python", asked, "http://host:1"), "python3", "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())");
    checked("a.sh", code("curl", asked, "http://host:1"), "sh", "-n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("two answers are the same, or part somewhere", () => {
  assert.deepEqual(compare({ text: "a", digest: "1" }, { text: "a", digest: "1" }), { same: true, digests: "equal", parting: null });
  assert.equal(compare({ text: "a", digest: "1" }, { text: "a", digest: "2" }).same, false);
  assert.equal(compare({ text: "a", digest: null }, { text: "a", digest: "2" }).digests, null);
  const parting = compare({ text: "one two", digest: "1" }, { text: "one ten", digest: "2" }).parting;
  assert.deepEqual(parting, { at: 5, before: "one t", first: "wo", second: "en" });
  assert.equal(compare({ text: "\u{1F600}", digest: null }, { text: "\u{1F601}", digest: null }).parting?.at, 0);
  assert.equal(compare({ text: "ab", digest: null }, { text: "a", digest: null }).parting?.second, "");
});

test("measures", () => {
  assert.equal(percentile([3, 1, 2, 4], 0.5), 2);
  assert.equal(percentile(Array.from({ length: 100 }, (_, i) => i + 1), 0.99), 99);
  assert.ok(Number.isNaN(percentile([], 0.5)));
  assert.deepEqual(gaps([5, 6, 8]), [1, 2]);
  assert.deepEqual(gaps([5, 5, 6, 8, 8, 8]), [1, 2 / 3, 2 / 3, 2 / 3]);
  assert.deepEqual(gaps([]), []);
  assert.equal(rate([100, 110, 120]), 100);
  assert.ok(Number.isNaN(rate([100])));
  assert.deepEqual([perSecond(812.4), perSecond(NaN), perSecond(1234), wholeMs(18.2), wholeMs(3.14)], ["812", "\u2013", "1,234", "18", "3.1"]);
  assert.deepEqual([time(0.0261), time(2), time(1e-4), time(undefined)], ["26.1 ms", "2.00 s", "100.0 \u00b5s", "\u2013"]);
  assert.equal(exactTime(0.008231068), "8.231068 ms");
});

test("Markdown is blocks of text", () => {
  const found = blocks("# T\nline\nmore\n\n- a\n- b\n  c\n\n3. x\n```js\n<b>\n\n1\n```\nend");
  assert.deepEqual(found, [
    { kind: "heading", text: "T" },
    { kind: "text", text: "line\nmore" },
    { kind: "list", ordered: false, start: 1, items: ["a", "b\nc"] },
    { kind: "list", ordered: true, start: 3, items: ["x"] },
    { kind: "code", text: "<b>\n\n1", language: "js" },
    { kind: "text", text: "end" },
  ]);
  assert.deepEqual(blocks("```\nopen"), [{ kind: "code", text: "open", language: "" }]);
  assert.deepEqual(blocks(""), []);
});
