// A message and its answers: one, or several streams side by side with what they reach together.

import { AnswerView, type Actions } from "./answer";
import { el, nextFrame, say } from "./dom";
import type { Run } from "./run";
import { count, perSecond } from "./stats";
import type { Message } from "./types";

export type TurnActions = Omit<Actions, "choose" | "retry"> & { retry(turn: Turn): void };

export class Turn {
  readonly node: HTMLElement;
  /** The answer that the conversation goes on from. */
  chosen: Run;
  private readonly views: AnswerView[];
  /** What several streams have in common; it stays in view. */
  readonly head: HTMLElement | null;
  private readonly together = el("p", { class: "together" });

  constructor(
    readonly message: string,
    readonly runs: readonly [Run, ...Run[]],
    actions: TurnActions,
  ) {
    this.chosen = runs[0];
    const many = runs.length > 1;
    const does: Actions = {
      ...actions,
      retry: () => actions.retry(this),
      choose: many ? (run) => this.choose(run) : null,
    };
    this.views = runs.map((run, lane) => new AnswerView(run, does, many ? `${lane + 1}` : null));
    const grid = el("div", { class: many ? "lanes" : "single" }, ...this.views.map((view) => view.node));
    // Two streams stand in two columns, eight in four: rows of equal length as far as there is room.
    const columns = runs.length <= 4 && runs.length !== 3 ? 2 : runs.length <= 6 ? 3 : 4;
    if (many) Object.assign(grid.dataset, { columns, rows: Math.ceil(runs.length / columns) });
    const said = el("div", { class: "said" }, el("p", {}, message));
    this.head = many ? el("div", { class: "together-row" }, this.together, this.again(actions)) : null;
    this.node = el("section", { class: "turn" }, said, this.head, grid);
    this.choose(runs[0]);
    this.show();
  }

  get active(): boolean {
    return this.runs.some((run) => run.active);
  }

  /** What the next request gets of this turn; nothing if it was not answered. */
  get history(): Message[] {
    if (this.chosen.text === "") return [];
    return [
      { role: "user", content: this.message },
      { role: "assistant", content: this.chosen.text },
    ];
  }

  stop(): void {
    for (const run of this.runs) {
      run.stop();
      this.changed(run);
    }
  }

  /** To be called for each change of a run. */
  readonly changed = (run: Run): void => {
    const view = this.views[this.runs.indexOf(run)];
    // Tokens wait for the next frame; an end is shown at once.
    const paint = run.active ? nextFrame : (show: () => void) => show();
    if (view) paint(view.show);
    if (this.runs.length > 1) paint(this.show);
  };

  private again(actions: TurnActions): HTMLElement {
    return el("button", { type: "button", class: "quiet retry", click: () => actions.retry(this) }, "Retry");
  }

  private choose(run: Run): void {
    this.chosen = run;
    for (const view of this.views) view.node.classList.toggle("chosen", this.runs.length > 1 && view.run === run);
  }

  private readonly show = (): void => {
    const lanes = this.runs.length;
    const parts = [`${lanes} streams`, `${perSecond(together(this.runs))} tok/s together`];
    parts.push(`${count(this.runs.reduce((sum, run) => sum + run.tokens, 0))} tokens`);
    if (this.runs.every((run) => run.state === "done")) {
      const same = this.runs.filter((run) => run.text === this.runs[0].text && run.digest === this.runs[0].digest).length;
      if (new Set(this.runs.map((run) => run.seed)).size === 1) parts.push(`${same} of ${lanes} identical`);
    }
    say(this.together, parts.join(" \u00b7 "));
  };
}

/** Tokens a second of all streams: from the first token of any to the last of any. */
export function together(runs: readonly Run[]): number {
  const begun = runs.filter((run) => run.arrivals.length > 0);
  const first = Math.min(...begun.map((run) => run.startedAt + run.ttft));
  const last = Math.max(...begun.map((run) => run.startedAt + (run.arrivals.at(-1) ?? 0)));
  const tokens = begun.reduce((sum, run) => sum + run.arrivals.length, 0);
  return last > first ? ((tokens - 1) * 1000) / (last - first) : NaN;
}
