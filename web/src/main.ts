// The playground: a conversation with the server that serves this page. Start reading at `Playground`.

import { ApiError, models } from "./api";
import { clearBanner, showError, showProblem } from "./banner";
import { Controls, kept } from "./controls";
import { Details } from "./details";
import { CodeDialog } from "./dialog";
import { $, el, say } from "./dom";
import { Panel } from "./panel";
import { Run } from "./run";
import { request, requests } from "./settings";
import { perSecond, wholeMs } from "./stats";
import { Turn, type TurnActions } from "./turn";
import type { ChatRequest, Message } from "./types";

const IDEAS = [
  "Why is the sky blue?",
  "Explain what a metronome does, in three sentences.",
  "Write a short story about a clock that is never late.",
  "List five uses of a deterministic computer.",
];

class Playground {
  private turns: Turn[] = [];
  private readonly replays = new Set<Run>();
  private readonly panel = new Panel();
  private readonly details = new Details();
  private readonly code = new CodeDialog();
  private readonly controls = new Controls(() => void this.listModels());
  private readonly message = $<HTMLTextAreaElement>("message");
  private readonly chat = $("chat");
  private readonly send = $<HTMLButtonElement>("send");
  /** The settings were opened for a key alone. */
  private askedForKey = false;
  /** False once somebody scrolls up to read. */
  private follows = true;

  private readonly actions: TurnActions = {
    details: (run) => {
      this.details.look(run);
      this.panel.open("details");
    },
    code: (run) => this.code.open(run.replay),
    replay: (run, changed) => {
      const second = new Run(run.replay, run.lane);
      this.replays.add(second);
      void second.start(this.controls.key, changed).then(() => {
        this.replays.delete(second);
        this.showActive();
      });
      this.showActive();
      return second;
    },
    retry: (turn) => this.retry(turn),
  };

  constructor() {
    this.message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.message.addEventListener("input", () => this.fit());
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.active) this.stop();
      else this.submit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      if (this.active) this.stop();
      else if (this.panel.covers) this.panel.close();
    });
    this.chat.addEventListener("scroll", () => {
      this.follows = this.chat.scrollHeight - this.chat.scrollTop - this.chat.clientHeight < 60;
    });
    new ResizeObserver(() => this.follow()).observe($("turns"));
    $("new").addEventListener("click", () => this.renew());
    $("code").addEventListener("click", () => this.showCode());
    const idea = (text: string) => el("li", {}, el("button", { type: "button", click: () => this.ask(text) }, text));
    $("ideas").append(...IDEAS.map(idea));
    theme();
    void this.listModels();
    if (matchMedia("(pointer: fine)").matches) this.message.focus();
  }

  private get active(): boolean {
    return this.replays.size > 0 || this.turns.some((turn) => turn.active);
  }

  private get history(): Message[] {
    return this.turns.flatMap((turn) => turn.history);
  }

  private async listModels(): Promise<void> {
    try {
      this.controls.offer(await models(this.controls.key));
      clearBanner();
      if (!this.askedForKey) return;
      this.askedForKey = false;
      if (this.panel.covers) this.panel.close();
      else this.panel.open("details");
      this.message.focus();
    } catch (error) {
      this.report(error, () => void this.listModels());
    }
  }

  private submit(): void {
    const text = this.message.value.trim();
    if (text === "" || this.active) return;
    if (this.ask(text)) {
      this.message.value = "";
      this.fit();
    }
  }

  /** False if the settings make no request. */
  private ask(text: string): boolean {
    const asked = this.made(() => requests(this.controls.settings, [...this.history, { role: "user", content: text }]));
    const [first, ...others] = (asked ?? []).map((each, lane) => new Run(each, lane));
    if (first === undefined || this.active) return false;
    clearBanner();
    const turn = new Turn(text, [first, ...others], this.actions);
    this.turns.push(turn);
    $("turns").append(turn.node);
    this.details.look(first);
    for (const run of turn.runs) void this.start(turn, run);
    this.showActive();
    // Of several streams the first stands on top, and all go on below it.
    this.follows = turn.head === null;
    if (turn.head) this.chat.scrollTop = turn.head.offsetTop - this.chat.offsetTop;
    else this.follow();
    return true;
  }

  private async start(turn: Turn, run: Run): Promise<void> {
    await run.start(this.controls.key, () => {
      turn.changed(run);
      this.details.changed(run);
    });
    this.showActive();
    if (run.error) this.report(run.error, () => this.retry(turn));
    if (turn.active) return;
    const [first] = turn.runs;
    if (first.state === "stopped") say($("status"), "Stopped.");
    else if (first.state === "done") {
      const speed = `${perSecond(first.rate)} tokens per second, first token after ${wholeMs(first.ttft)} milliseconds`;
      say($("status"), `Answer complete: ${first.tokens} tokens, ${speed}. ${first.text}`);
    }
  }

  /** Answers the turn's message anew; what came after it is gone, since it built on the old answer. */
  private retry(turn: Turn): void {
    const at = this.turns.indexOf(turn);
    if (at < 0) return;
    for (const each of this.turns.slice(at)) {
      each.stop();
      each.node.remove();
    }
    this.turns = this.turns.slice(0, at);
    this.ask(turn.message);
  }

  private stop(): void {
    for (const turn of this.turns) turn.stop();
    for (const run of this.replays) run.stop();
    this.showActive();
  }

  private renew(): void {
    this.stop();
    this.turns = [];
    $("turns").replaceChildren();
    this.details.look(null);
    clearBanner();
    this.showActive();
    this.message.focus();
  }

  /** The request that Enter would send now. */
  private showCode(): void {
    const draft = this.message.value.trim();
    const last = this.turns.at(-1);
    if (draft === "" && last) this.code.open(last.chosen.replay);
    else {
      const history: Message[] = [...this.history, { role: "user", content: draft || (IDEAS[0] ?? "") }];
      const made = this.made(() => request(this.controls.settings, history));
      if (made) this.code.open(made);
    }
  }

  /** What the settings make, or null and a banner that says why nothing. */
  private made<T extends ChatRequest | ChatRequest[]>(make: () => T): T | null {
    try {
      return make();
    } catch (error) {
      showProblem((error as Error).message);
      this.panel.open("settings");
      return null;
    }
  }

  private report(error: unknown, again: () => void): void {
    const unreachable = new ApiError(0, { message: "The server cannot be reached.", type: "unreachable" }, null);
    showError(error instanceof ApiError ? error : unreachable, again, () => {
      this.askedForKey = true;
      this.panel.open("settings");
      this.controls.focusKey();
    });
  }

  private showActive(): void {
    const { active } = this;
    document.body.classList.toggle("active", active);
    document.body.classList.toggle("begun", this.turns.length > 0);
    const label = this.send.firstElementChild;
    if (label) say(label, active ? "Stop" : "Send");
    this.send.title = active ? "Stop (Esc)" : "";
    $<HTMLButtonElement>("new").disabled = this.turns.length === 0;
  }

  private follow(): void {
    if (this.follows) this.chat.scrollTop = this.chat.scrollHeight;
  }

  /** The message's field grows with it, up to a point. */
  private fit(): void {
    this.message.style.height = "auto";
    this.message.style.height = `${Math.min(this.message.scrollHeight, 220)}px`;
  }
}

/** Light or dark: as the system has it until the button says otherwise. */
function theme(): void {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = $("theme");
  const dark = () => (root.dataset["theme"] ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => button.setAttribute("aria-pressed", String(dark()));
  const saved = kept.get("lockstep.theme");
  if (saved === "light" || saved === "dark") root.dataset["theme"] = saved;
  button.addEventListener("click", () => {
    root.dataset["theme"] = dark() ? "light" : "dark";
    kept.set("lockstep.theme", root.dataset["theme"]);
    show();
  });
  system.addEventListener("change", show);
  show();
}

new Playground();
