// The details of one answer: an instrument that reads while the answer streams, and stands at rest without one.

import { Sparkline } from "./chart";
import { $, el, nextFrame, say } from "./dom";
import type { Run } from "./run";
import { count, exactTime, gaps, percentile, perSecond, time, tokens, wholeMs } from "./stats";

type Row = readonly [label: string, read: (run: Run) => string | null, code?: "code"];

const KNOWN = "exact, known beforehand";
const NONE = "\u2013";
const ms = (value: number) => (Number.isFinite(value) ? `${wholeMs(value)} ms` : NONE);

const SERVER: Row[] = [
  ["Prompt", (run) => run.usage && `${time(run.usage.prompt_time)} for ${tokens(run.usage.prompt_tokens)}`],
  ["From the cache", cached],
  ["Completion", (run) => run.usage && `${time(run.usage.completion_time)} for ${tokens(run.usage.completion_tokens)}`],
  ["Rate", (run) => run.usage && `${perSecond(served(run))} tok/s`],
  ["In the queue", (run) => run.usage && time(run.usage.queue_time)],
];

const LPU: Row[] = [
  ["System", (run) => run.lpu?.system ?? null, "code"],
  ["Prompt", (run) => run.lpu && exactTime(run.lpu.prompt_time)],
  ["A token", (run) => run.lpu && exactTime(run.lpu.token_time)],
  ["This answer", (run) => run.lpu && exactTime(run.lpu.total_time)],
  ["In cycles", (run) => run.lpu && count(run.lpu.total_cycles)],
];

const IDENTITY: Row[] = [
  ["Seed", (run) => (run.seed === null ? null : String(run.seed)), "code"],
  ["Output digest", (run) => run.digest, "code"],
  ["Fingerprint", (run) => run.fingerprint, "code"],
  ["Model", (run) => run.model ?? run.request.model, "code"],
  ["Request", (run) => run.requestId, "code"],
  ["Ended by", (run) => (run.state === "done" ? run.finish : run.state)],
];

export class Details {
  private run: Run | null = null;
  private readonly rate = el("b");
  private readonly ttft = el("b");
  private readonly tokens = el("b");
  private readonly p50 = el("b");
  private readonly p99 = el("b");
  private readonly lpuNote = el("small", {}, KNOWN);
  private readonly spark = new Sparkline();
  private readonly cells: { cell: HTMLElement; row: Row }[] = [];

  constructor() {
    const figure = (label: string, value: HTMLElement, unit: string) =>
      el("div", { class: "figure" }, el("span", {}, label), el("p", {}, value, unit === "" ? null : ` ${unit}`));
    const figures = el("div", { class: "figures" });
    figures.append(figure("Speed", this.rate, "tok/s"), figure("First token", this.ttft, "ms"), figure("Tokens", this.tokens, ""));
    const key = (name: string, value: HTMLElement) => el("span", { class: name }, `${name} `, value);
    const legend = el("p", { class: "legend" }, key("p50", this.p50), key("p99", this.p99));
    const between = el("section", {}, el("h2", {}, "Between tokens", el("small", {}, "in this browser")), this.spark.node, legend);
    const server = this.table(SERVER, "At the server");
    const lpu = this.table(LPU, "On the LPU", this.lpuNote);
    const identity = this.table(IDENTITY, "To get it again");
    $("details").append(figures, between, server, lpu, identity);
    this.show();
  }

  /** The run that is looked at. */
  look(run: Run | null): void {
    this.run = run;
    nextFrame(this.show);
  }

  changed(run: Run): void {
    if (run === this.run) nextFrame(this.show);
  }

  private table(rows: Row[], ...title: (Node | string)[]): HTMLElement {
    const list = el("dl");
    for (const row of rows) {
      const cell = el("dd", { class: row[2] ?? "" });
      this.cells.push({ cell, row });
      list.append(el("div", {}, el("dt", {}, row[0]), cell));
    }
    return el("section", {}, el("h2", {}, ...title), list);
  }

  private readonly show = (): void => {
    const { run } = this;
    const between = gaps(run?.arrivals ?? []);
    say(this.rate, perSecond(run?.rate ?? NaN));
    say(this.ttft, wholeMs(run?.ttft ?? NaN));
    say(this.tokens, count(run?.tokens || undefined));
    say(this.p50, ms(percentile(between, 0.5)));
    say(this.p99, ms(percentile(between, 0.99)));
    for (const figure of [this.rate, this.ttft, this.tokens]) figure.classList.toggle("none", figure.textContent === NONE);
    say(this.lpuNote, run?.state === "done" && run.lpu === null ? "no program for this length" : KNOWN);
    this.spark.draw(between);
    for (const { cell, row } of this.cells) say(cell, (run && row[1](run)) ?? NONE);
  };
}

function cached(run: Run): string | null {
  const found = run.usage?.prompt_tokens_details?.cached_tokens;
  return found === undefined ? null : tokens(found);
}

/** Tokens a second by the server's clock. */
function served(run: Run): number {
  const { completion_tokens, completion_time } = run.usage ?? {};
  return completion_tokens && completion_time ? completion_tokens / completion_time : NaN;
}
