// An answer as it is shown: its measures, its text, what can be done with it, and the verdict of a replay.

import { Tape } from "./chart";
import { compare } from "./compare";
import { copy, el, nextFrame, say } from "./dom";
import { Markdown } from "./markdown";
import type { Run } from "./run";
import { count, gaps, perSecond, time, tokens, wholeMs } from "./stats";

export interface Actions {
  details(run: Run): void;
  code(run: Run): void;
  /** Runs the same request again; the second run, already started. */
  replay(run: Run, changed: () => void): Run;
  /** Answers the message anew; absent where later messages build on this one. */
  retry: () => void;
  /** Makes this the answer that the conversation goes on from; null where there is no choice. */
  choose: ((run: Run) => void) | null;
}

const ENDS: Record<string, string> = {
  length: "Ended at the token limit.",
  content_filter: "Ended by a filter.",
  deadline: "Ended at its deadline.",
};

export class AnswerView {
  readonly node: HTMLElement;
  private readonly rate = el("b");
  private readonly ttft = el("b");
  private readonly tokens = el("span", { class: "tokens" });
  private readonly tape = new Tape();
  private readonly thought = el("details", { class: "thought", hidden: true }, el("summary", {}, "Reasoning"), el("p"));
  private readonly body: Markdown;
  private readonly end = el("p", { class: "end", hidden: true });
  private readonly actions: HTMLElement;
  private readonly verdict = el("div", { class: "verdict", "aria-live": "polite", hidden: true });
  private readonly inLane: boolean;
  private readonly replayButton: HTMLButtonElement;
  private second: Run | null = null;

  constructor(
    readonly run: Run,
    private readonly does: Actions,
    title: string | null,
  ) {
    this.inLane = title !== null;
    const readout = el("button", { type: "button", class: "readout", title: "Details", click: () => does.details(run) });
    const figures = el("span", {}, this.rate, " tok/s · TTFT ", this.ttft, " ms");
    readout.append(figures, this.tokens, this.tape.node);
    this.body = new Markdown(el("div", title === null ? { class: "text" } : { class: "text", tabindex: 0, role: "group", "aria-label": `Stream ${title}` }));
    const copyButton = el("button", { type: "button", class: "quiet" }, "Copy");
    copyButton.addEventListener("click", () => void copy(run.text, copyButton));
    const button = (label: string, act: () => void) => el("button", { type: "button", class: "quiet", click: act }, label);
    this.replayButton = button(title === null ? "Replay and compare" : "Compare", () => this.replay());
    const { choose } = does;
    const details = button("Details", () => does.details(run));
    const retry = button("Retry", () => does.retry());
    retry.classList.add("retry");
    // A lane has little room.
    const few = choose ? [button("Go on", () => choose(run)), this.replayButton, details] : null;
    const all = () => [this.replayButton, copyButton, button("Code", () => does.code(run)), details, retry];
    this.actions = el("div", { class: "actions", hidden: true }, ...(few ?? all()));
    const head = el("div", { class: "answer-head" }, title === null ? null : el("span", { class: "lane" }, title), readout);
    const parts = [head, this.thought, this.body.node, this.end, this.actions, this.verdict];
    this.node = el("article", { class: "answer" }, ...parts);
    this.show();
  }

  readonly show = (): void => {
    const { run } = this;
    this.node.dataset["state"] = run.state;
    say(this.rate, perSecond(run.rate));
    const waiting = run.state === "waiting" && run.startedAt > 0;
    say(this.ttft, wholeMs(waiting ? performance.now() - run.startedAt : run.ttft));
    say(this.tokens, this.aside);
    this.tape.draw(gaps(run.arrivals));
    if (run.reasoning !== "") {
      this.thought.hidden = false;
      const text = this.thought.lastElementChild;
      if (text) say(text, run.reasoning);
    }
    const { node } = this.body;
    const atEnd = node.scrollHeight - node.scrollTop - node.clientHeight < 40;
    this.body.show(run.text);
    // A lane has a height of its own: it follows its text unless somebody scrolled up.
    if (this.inLane && run.active && atEnd) node.scrollTop = node.scrollHeight;
    const end = run.state === "stopped" ? "Stopped." : run.state === "failed" ? failed(run) : (ENDS[run.finish ?? ""] ?? "");
    say(this.end, end);
    this.end.hidden = end === "";
    this.actions.hidden = run.active;
    this.replayButton.disabled = run.state !== "done";
    // The wait for the first token is a clock of its own.
    if (waiting) nextFrame(this.show);
  };

  private get aside(): string {
    const { run } = this;
    const parts = run.tokens > 0 ? [tokens(run.tokens)] : [];
    if (this.inLane && run.seed !== null) parts.push(`seed ${run.seed}`);
    if (!this.inLane && run.lpu?.total_time !== undefined) parts.push(`LPU ${time(run.lpu.total_time)}`);
    return parts.join(" \u00b7 ");
  }

  private replay(): void {
    if (this.second?.active) return;
    this.second = this.does.replay(this.run, () => nextFrame(this.showVerdict));
    this.showVerdict();
  }

  private readonly showVerdict = (): void => {
    const { run, second } = this;
    if (second === null) return;
    this.verdict.hidden = false;
    this.verdict.dataset["state"] = second.active ? "running" : "different";
    if (second.active) {
      const line = `Replaying with seed ${second.seed ?? "?"}: ${count(second.arrivals.length)} of ${tokens(run.tokens)}`;
      this.verdict.replaceChildren(el("p", {}, line));
    } else if (second.state !== "done") {
      this.verdict.dataset["state"] = "running";
      this.verdict.replaceChildren(el("p", {}, second.state === "stopped" ? "Replay stopped." : `Replay failed: ${failed(second)}`));
    } else this.judge(second);
  };

  private judge(second: Run): void {
    const { run } = this;
    const found = compare(run, second);
    if (found.same) this.verdict.dataset["state"] = "same";
    const digests = found.digests === null ? "the server gave no digests" : `digests ${found.digests}`;
    const same = el("p", {}, el("strong", {}, "The same bits."), ` Text identical over ${tokens(second.tokens)}, ${digests}.`);
    const parts: Node[] = [found.same ? same : el("p", {}, el("strong", {}, "Different."), ` ${capital(digests)}.`)];
    if (found.parting) {
      const { at, before, first, second: other } = found.parting;
      const line = (what: string, text: string) => el("div", {}, el("dt", {}, what), el("dd", {}, before, el("mark", {}, text || "(end)")));
      parts.push(el("p", {}, `The texts part at character ${count(at + 1)}:`));
      parts.push(el("dl", { class: "parting" }, line("first", first), line("replay", other)));
    }
    if (run.fingerprint !== second.fingerprint) {
      parts.push(el("p", {}, "The server's fingerprint changed in between: another model, or another version."));
    }
    const row = (what: string, of: Run) =>
      el("tr", {}, el("th", { scope: "row" }, what), el("td", { class: "digest" }, of.digest ?? "no digest"), el("td", {}, `${perSecond(of.rate)} tok/s`));
    parts.push(el("table", {}, row("first", run), row("replay", second)));
    this.verdict.replaceChildren(...parts);
  }
}

export function failed(run: Run): string {
  return run.error?.body.message ?? "It failed.";
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
