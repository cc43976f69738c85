// One request and its answer: sent, streamed, timed, ended.

import { ApiError, streamChat } from "./api";
import { rate } from "./stats";
import type { ChatRequest, Chunk, LpuTime, Usage } from "./types";

export type State = "waiting" | "streaming" | "done" | "stopped" | "failed";

/** `request` is what was sent, to the byte: code and replays are made from it. */
export class Run {
  state: State = "waiting";
  text = "";
  reasoning = "";
  /** When each token came, in milliseconds after the request was sent. */
  readonly arrivals: number[] = [];
  requestId: string | null = null;
  model: string | null = null;
  seed: number | null = null;
  fingerprint: string | null = null;
  digest: string | null = null;
  usage: Usage | null = null;
  lpu: LpuTime | null = null;
  finish: string | null = null;
  error: ApiError | null = null;
  /** Milliseconds of this page's clock. */
  startedAt = 0;
  private readonly abort = new AbortController();

  constructor(
    readonly request: ChatRequest,
    readonly lane = 0,
  ) {
    this.seed = request.seed ?? null;
  }

  get active(): boolean {
    return this.state === "waiting" || this.state === "streaming";
  }

  get ttft(): number {
    return this.arrivals[0] ?? NaN;
  }

  get tokens(): number {
    return this.usage?.completion_tokens ?? this.arrivals.length;
  }

  /** Tokens a second as they reach this page. */
  get rate(): number {
    return rate(this.arrivals);
  }

  /** The request that must give the same answer again. */
  get replay(): ChatRequest {
    if (this.seed === null) return this.request;
    // The seed stands where settings put it, so that code reads alike.
    const { stop, response_format, stream, stream_options, ...head } = this.request;
    const tail = { stream, stream_options };
    return {
      ...head,
      seed: this.seed,
      ...(stop ? { stop } : {}),
      ...(response_format ? { response_format } : {}),
      ...tail,
    };
  }

  stop(): void {
    if (!this.active) return;
    this.state = "stopped";
    this.abort.abort();
  }

  /** Streams to the end; `changed` is called whenever there is something new to show. Never rejects. */
  async start(key: string, changed: () => void): Promise<void> {
    this.startedAt = performance.now();
    changed();
    const caller = { key, signal: this.abort.signal, anonymous: this.lane % 2 === 1 };
    try {
      await streamChat(
        this.request,
        caller,
        (requestId) => (this.requestId = requestId),
        (chunk, at) => {
          this.take(chunk, at);
          changed();
        },
      );
      if (this.active) this.state = "done";
    } catch (error) {
      if (this.active) this.fail(error);
    }
    changed();
  }

  private fail(error: unknown): void {
    this.state = "failed";
    const unreachable = { message: "The server cannot be reached.", type: "unreachable" };
    this.error = error instanceof ApiError ? error : new ApiError(0, unreachable, this.requestId);
    this.requestId ??= this.error.requestId;
  }

  private take(chunk: Chunk, at: number): void {
    if (!this.active) return;
    this.model = chunk.model ?? this.model;
    this.fingerprint = chunk.system_fingerprint ?? this.fingerprint;
    this.seed = chunk.x_groq?.seed ?? this.seed;
    this.usage = chunk.usage ?? chunk.x_groq?.usage ?? this.usage;
    this.digest = chunk.x_lockstep?.output_digest ?? this.digest;
    this.lpu = chunk.x_lockstep?.lpu ?? this.lpu;
    for (const choice of chunk.choices ?? []) {
      this.finish = choice.finish_reason ?? this.finish;
      const { role, content, reasoning } = choice.delta ?? {};
      // The first chunk only names the role; the last only how it ended.
      const token = content !== undefined || reasoning !== undefined;
      if (!token || (role !== undefined && !content && !reasoning)) continue;
      this.state = "streaming";
      this.arrivals.push(at - this.startedAt);
      this.text += content ?? "";
      this.reasoning += reasoning ?? "";
    }
  }
}
