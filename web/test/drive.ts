// The playground in a browser, against a real server: `cargo xtask playground` starts both.

import { chromium, type Browser } from "playwright-core";
import { looks } from "./looks";
import { check, checks, Playground, type Place } from "./page";

const STORY = "Write a long story about a clock that is never late.";

/** Type, stream, what stands beside the answer, replay, code. */
async function conversation(browser: Browser, place: Place): Promise<void> {
  const it = await Playground.open(browser, place);
  const { page } = it;
  check(await page.isVisible("#welcome"), "no welcome");
  await it.picture("desktop-welcome");
  await it.set({ max_tokens: "64", temperature: "1" });
  await page.focus("#message");
  await page.keyboard.type("Why is");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("the sky blue?");
  check((await page.inputValue("#message")) === "Why is\nthe sky blue?", "Shift+Enter makes no new line");
  check((await it.answers().count()) === 0, "Shift+Enter sends");
  await page.keyboard.press("Enter");
  // The text grows while the answer streams.
  const lengths = await page.evaluate(async () => {
    const seen = new Set<number>();
    while (document.querySelector(".answer[data-state=waiting], .answer[data-state=streaming]")) {
      seen.add(document.querySelector(".answer .text")?.textContent?.length ?? 0);
      await new Promise((done) => requestAnimationFrame(done));
    }
    return [...seen];
  });
  check(lengths.length > 5, `the answer came in ${lengths.length} pieces: it does not stream`);
  const state = await it.answers().first().getAttribute("data-state");
  check(state === "done", `the answer ended as ${state}: ${await it.text(".answer .end")}`);
  const readout = await it.text(".readout");
  check(/^[\d.,]+ tok\/s · TTFT [\d.,]+ ms\d+ tokens/.test(readout), `beside the answer: ${readout}`);
  check(!(await page.isVisible("#welcome")), "the welcome stays");
  check((await it.text("#status")).startsWith("Answer complete: "), "the end is not announced");

  const rows = ["Prompt", "Completion", "Rate", "In the queue", "Seed", "Output digest", "Fingerprint", "Request"];
  for (const row of rows) {
    const value = await it.detail(row);
    check(/[0-9a-f]/.test(value), `details: ${row}: ${value}`);
  }
  check(/^[\d.]+ ms$/.test(await it.text(".legend .p50 b")), "no p50");
  check(/^[\d.]+ ms$/.test(await it.text(".legend .p99 b")), "no p99");
  const line = (await page.getAttribute(".spark .line", "d")) ?? "";
  check(line.split("L").length > 5, `the line between tokens has no points: ${line}`);

  await it.press(".answer", "Replay and compare");
  await page.waitForSelector(".verdict:not([data-state=running])");
  const verdict = await it.text(".verdict");
  check(/^The same bits\. Text identical over \d+ tokens, digests equal\./.test(verdict), verdict);
  await it.picture("desktop-replay");
  await code(it, place);

  await it.ask("<b>And the sunset?</b> `<img src=x>`");
  await it.rest();
  check((await page.locator(".turn :is(img, .said b)").count()) === 0, "markup of a message reaches the document");
  await page.click("#code");
  const messages = /"messages": \[[\s\S]*?\n  \]/.exec(await it.text("#code-text"))?.[0] ?? "";
  check((messages.match(/"role"/g) ?? []).length === 3, `the conversation is not sent along: ${messages}`);
  await page.keyboard.press("Escape");
  const first = await it.answers().nth(1).locator(".text").textContent();
  await it.press(".turn:last-child", "Retry");
  await it.rest();
  check((await it.answers().count()) === 2, "a retry does not take the old answer's place");
  check((await it.answers().nth(1).locator(".text").textContent()) !== first, "a retry draws no new seed");
  await page.click("#new");
  check((await it.answers().count()) === 0 && (await page.isVisible("#welcome")), "New does not begin anew");
  await it.close();
}

/** The code that is shown is the request: what curl sends gives the same answer. */
async function code(it: Playground, place: Place): Promise<void> {
  const { page } = it;
  await page.click("#code");
  for (const [language, sign] of [["JavaScript", "new OpenAI("], ["Python", "client.chat.completions.create("], ["curl", "curl -N "]] as const) {
    await page.getByRole("tab", { name: language, exact: true }).click();
    check((await it.text("#code-text")).includes(sign), `no ${language}`);
  }
  await page.click("#code-copy");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  check(copied === (await it.text("#code-text")), "what is copied is not what is shown");
  check(!copied.includes(place.key), "the key is in the code");
  await it.picture("desktop-code");
  const body = /-d '([\s\S]*)'\n$/.exec(copied)?.[1]?.replaceAll("'\\''", "'") ?? "";
  const answer = await fetch(`${place.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${place.key}` },
    body,
  });
  const digest = /"output_digest":"([^"]+)"/.exec(await answer.text())?.[1];
  check(digest === (await it.detail("Output digest")), `the copied request gives ${digest}`);
  await page.keyboard.press("Escape");
  check(!(await page.isVisible("#code-dialog")), "Escape does not close the code");
}

/** Stop by key and by button; the server's answer ends there, and the next request works. */
async function stopping(browser: Browser, place: Place): Promise<void> {
  const it = await Playground.open(browser, place);
  const { page } = it;
  await it.set({ max_tokens: "900", seed: "1" });
  const texts: (string | null)[] = [];
  for (const way of ["key", "button"]) {
    await it.ask(STORY);
    await page.waitForFunction(() => (document.querySelector(".turn:last-child .text")?.textContent ?? "").length > 20);
    if (way === "key") await page.keyboard.press("Escape");
    else await page.click("#send");
    const answer = it.answers().last();
    check((await answer.getAttribute("data-state")) === "stopped", `the ${way} does not stop`);
    texts.push(await answer.locator(".text").textContent());
    check(await answer.getByRole("button", { name: "Replay and compare" }).isDisabled(), "half an answer can be compared");
  }
  await it.set({ max_tokens: "8" });
  await it.ask("Hello");
  await it.rest();
  check((await it.answers().last().getAttribute("data-state")) === "done", "no answer after a stop");
  const now = await page.locator(".text").allTextContents();
  check(texts.every((text, i) => text === now[i]), "a text grows after it was stopped");
  await it.close();
}

/** Eight streams at once: of one seed all alike, of different seeds not. */
async function streams(browser: Browser, place: Place): Promise<void> {
  const it = await Playground.open(browser, place);
  const { page } = it;
  await it.set({ max_tokens: "48", temperature: "1" });
  await page.selectOption("#streams", "8");
  await it.ask(STORY);
  const most = await page.evaluate(async () => {
    let most = 0;
    while (document.body.classList.contains("active")) {
      most = Math.max(most, document.querySelectorAll(".answer[data-state=streaming]").length);
      await new Promise((done) => requestAnimationFrame(done));
    }
    return most;
  });
  check(most === 8, `${most} of 8 streams ran at once`);
  const together = await it.text(".together");
  check(/^8 streams · [\d.,]+ tok\/s together · [\d,]+ tokens · 8 of 8 identical$/.test(together), together);
  const texts = async () => new Set(await page.locator(".turn:last-child .text").allTextContents());
  check((await texts()).size === 1, "one seed gives different texts");
  await page.selectOption("#seeds", "different");
  await it.ask(STORY);
  await page.waitForFunction(() => document.querySelectorAll(".turn:last-child .answer[data-state=streaming]").length > 3);
  await it.picture("desktop-streams");
  await it.rest();
  check((await texts()).size > 4, "different seeds give one text");
  const lane = page.locator(".turn:last-child .answer").nth(2);
  await it.press(lane, "Go on");
  await it.press(lane, "Compare");
  await lane.locator(".verdict[data-state=same]").waitFor();
  await page.click("#code");
  const chosen = ((await lane.locator(".text").textContent()) ?? "").trim().split(/\s/).slice(0, 3).join(" ");
  await page.keyboard.press("Escape");
  await page.selectOption("#streams", "1");
  await it.ask("Go on.");
  await it.rest();
  await page.click("#code");
  check((await it.text("#code-text")).includes(chosen), `the conversation does not go on with the chosen answer: ${chosen}`);
  await page.keyboard.press("Escape");
  await it.close();
}

/** Settings reach the server; what it refuses is said with the request's name and what to do. */
async function settings(browser: Browser, place: Place): Promise<void> {
  const it = await Playground.open(browser, place);
  const { page } = it;
  await it.set({ max_tokens: "60", seed: "5", temperature: "0.5", format: "json_schema", system: "Answer in JSON." });
  await it.ask("Is the sky blue?");
  await it.rest();
  check(/^\{\s*"answer"/.test((await it.text(".answer .text")).trim()), `no JSON of the schema: ${await it.text(".answer .text")}`);
  check((await it.detail("Seed")) === "5", "the seed is not the one set");
  await it.set({ schema: "{" });
  await it.ask("And now?");
  check(/Not sent/.test(await it.text("#banner")), "a broken schema is sent");
  check((await page.inputValue("#message")) === "And now?", "a message that is not sent is lost");
  await it.press("#banner", "Dismiss");
  await it.set({ format: "text", stop: "1\n2\n3\n4\n5" });
  it.expected.add(400);
  await page.focus("#message");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#banner strong");
  const banner = await it.text("#banner");
  check(/not accepted.*stop.*request \S+/s.test(banner), banner);
  await it.picture("desktop-error");
  await it.set({ stop: "" });
  await it.press("#banner", "Try again");
  await it.rest();
  check((await it.answers().last().getAttribute("data-state")) === "done", `the second try fails: ${await it.text("#banner")}`);
  check((await it.answers().count()) === 2, "the failed answer stays");
  await page.route("**/v1/chat/completions", (route) => route.abort());
  await it.ask("Hello");
  await page.waitForSelector("#banner strong");
  check(/No connection/.test(await it.text("#banner")), await it.text("#banner"));
  const failed = it.troubles.filter((each) => /ERR_FAILED/.test(each));
  check(failed.length === 1 && it.troubles.length === 1, it.troubles.join("\n"));
  it.troubles.length = 0;
  const stored = await page.evaluate(() => JSON.stringify(Object.entries(localStorage)));
  check(!stored.includes(place.key), "the key is stored beyond the tab");
  await it.close();
}

async function main(): Promise<void> {
  const [url, key, pictures, executablePath, ...only] = process.argv.slice(2);
  if (!url || !key || !pictures || !executablePath) throw new Error("usage: drive URL KEY PICTURES BROWSER [PART...]");
  // The page is our own: it needs no sandbox, which containers often cannot give.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    for (const part of [conversation, stopping, streams, settings, looks]) {
      if (only.length > 0 && !only.includes(part.name)) continue;
      const begun = performance.now();
      await part(browser, { url, key, pictures });
      console.log(`${part.name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    }
  } finally {
    await browser.close();
  }
  console.log(`playground: ${checks()} checks held`);
}

await main();
