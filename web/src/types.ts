// The shapes of the API that the page uses: requests as they are sent, and what of the answers is read.

export type Role = "system" | "user" | "assistant";

export interface Message {
  role: Role;
  content: string;
}

export type ResponseFormat =
  | { type: "json_object" }
  | { type: "json_schema"; json_schema: { name: string; strict: true; schema: unknown } };

/** Keys stand in the order in which they are shown and sent. */
export interface ChatRequest {
  model: string;
  messages: Message[];
  temperature: number;
  top_p?: number;
  top_k?: number;
  max_completion_tokens?: number;
  seed?: number;
  stop?: string[];
  response_format?: ResponseFormat;
  stream: true;
  stream_options: { include_usage: true };
}

/** Times are in seconds, stamped in the engine. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  queue_time?: number;
  prompt_time?: number;
  completion_time?: number;
  total_time?: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

/** What the compiled program takes for the same answer: exact, in seconds. */
export interface LpuTime {
  system: string;
  prompt_cycles?: number;
  total_cycles?: number;
  prompt_time?: number;
  token_time?: number;
  total_time?: number;
}

export interface ErrorBody {
  message: string;
  type?: string | null;
  param?: string | null;
  code?: string | null;
}

export interface Chunk {
  id?: string;
  model?: string;
  system_fingerprint?: string | null;
  choices?: {
    delta?: { role?: string; content?: string | null; reasoning?: string | null };
    finish_reason?: string | null;
  }[];
  usage?: Usage | null;
  x_groq?: { id?: string; seed?: number; usage?: Usage } | null;
  x_lockstep?: { output_digest?: string | null; lpu?: LpuTime | null } | null;
  error?: ErrorBody | null;
}

export interface Model {
  id: string;
  context_window?: number | null;
  max_completion_tokens?: number | null;
}
