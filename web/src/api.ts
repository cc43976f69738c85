// The API's client: models, and answers as they stream. All requests go to the host that served the page.

import { EventReader } from "./sse";
import type { ChatRequest, Chunk, ErrorBody, Model } from "./types";

/** A request that did not succeed: what the server said, and what helps to follow it up. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
    readonly requestId: string | null,
    readonly retryAfter: string | null = null,
  ) {
    super(body.message);
    this.name = "ApiError";
  }
}

export interface Caller {
  key: string;
  signal?: AbortSignal;
  /**
   * Browsers open six connections for a host over HTTP/1.1, and keep those without credentials apart. The API uses no
   * cookies, so half of the parallel streams go without and all eight run at once.
   */
  anonymous?: boolean;
}

export async function models(key: string): Promise<Model[]> {
  const response = await fetch("/v1/models", { headers: headers(key) });
  if (!response.ok) throw await failure(response);
  const list = (await response.json()) as { data?: Model[] };
  return list.data ?? [];
}

/** Streams an answer; `chunk` is told of each and when it was read, by this page's clock. Returns once the server has said that it is whole. */
export async function streamChat(
  request: ChatRequest,
  caller: Caller,
  opened: (requestId: string | null) => void,
  chunk: (chunk: Chunk, at: number) => void,
): Promise<void> {
  const init: RequestInit = {
    method: "POST",
    headers: { ...headers(caller.key), "content-type": "application/json" },
    body: JSON.stringify(request),
    credentials: caller.anonymous === true ? "omit" : "same-origin",
  };
  if (caller.signal) init.signal = caller.signal;
  const response = await fetch("/v1/chat/completions", init);
  if (!response.ok || response.body === null) throw await failure(response);
  const requestId = response.headers.get("x-request-id");
  opened(requestId);
  const broken = (message: string) => new ApiError(0, { message, type: "broken_stream" }, requestId);
  const events = new EventReader();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    const at = performance.now();
    if (done) throw broken("The connection ended before the answer did.");
    for (const data of events.push(value)) {
      if (data === "[DONE]") return;
      const parsed = parse(data);
      if (parsed === null) throw broken("The server sent an event that is no JSON.");
      if (parsed.error) throw new ApiError(0, parsed.error, requestId);
      chunk(parsed, at);
    }
  }
}

function headers(key: string): Record<string, string> {
  return key === "" ? {} : { authorization: `Bearer ${key}` };
}

function parse(text: string): Chunk | null {
  try {
    return JSON.parse(text) as Chunk;
  } catch {
    return null;
  }
}

async function failure(response: Response): Promise<ApiError> {
  const said = await response.text().catch(() => "");
  const body = parse(said)?.error ?? { message: said.slice(0, 300) || `The server answered ${response.status}.` };
  return new ApiError(response.status, body, response.headers.get("x-request-id"), response.headers.get("retry-after"));
}
