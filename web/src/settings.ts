// What is asked of the model, and the request that it makes.

import type { ChatRequest, Message, ResponseFormat } from "./types";

export interface Settings {
  model: string;
  system: string;
  temperature: number;
  top_p: number;
  top_k: number | null;
  max_tokens: number | null;
  seed: number | null;
  stop: string;
  format: "text" | "json_object" | "json_schema";
  schema: string;
  streams: number;
  seeds: "same" | "different";
}

export const SCHEMA = `{
  "type": "object",
  "properties": {
    "answer": { "type": "string" },
    "sure": { "type": "boolean" }
  },
  "required": ["answer", "sure"],
  "additionalProperties": false
}`;

export const DEFAULTS: Settings = {
  model: "",
  system: "",
  temperature: 0.7,
  top_p: 1,
  top_k: null,
  max_tokens: 512,
  seed: null,
  stop: "",
  format: "text",
  schema: SCHEMA,
  streams: 1,
  seeds: "same",
};

/** A line a string; `\n` and `\t` in it mean what they mean in JSON. */
export function stops(text: string): string[] {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
}

export function format(settings: Settings): ResponseFormat | null {
  if (settings.format === "text") return null;
  if (settings.format === "json_object") return { type: "json_object" };
  let schema: unknown;
  try {
    schema = JSON.parse(settings.schema);
  } catch (error) {
    throw new Error(`The JSON schema in the settings cannot be read: ${(error as Error).message}`);
  }
  return { type: "json_schema", json_schema: { name: "answer", strict: true, schema } };
}

/** The request for one stream. Throws an error for people where a setting makes none. */
export function request(settings: Settings, history: readonly Message[], seed = settings.seed): ChatRequest {
  const system = settings.system.trim() === "" ? [] : [{ role: "system" as const, content: settings.system }];
  const stop = stops(settings.stop);
  const response_format = format(settings);
  return {
    model: settings.model,
    messages: [...system, ...history],
    temperature: settings.temperature,
    ...(settings.top_p < 1 ? { top_p: settings.top_p } : {}),
    ...(settings.top_k === null ? {} : { top_k: settings.top_k }),
    ...(settings.max_tokens === null ? {} : { max_completion_tokens: settings.max_tokens }),
    ...(seed === null ? {} : { seed }),
    ...(stop.length > 0 ? { stop } : {}),
    ...(response_format ? { response_format } : {}),
    stream: true,
    stream_options: { include_usage: true },
  };
}

/** One request a stream: all with one seed, or with neighbouring ones. */
export function requests(settings: Settings, history: readonly Message[]): ChatRequest[] {
  if (settings.streams === 1) return [request(settings, history)];
  const first = settings.seed ?? Math.floor(Math.random() * 1e6);
  const lanes = Array.from({ length: settings.streams }, (_, lane) => lane);
  return lanes.map((lane) => request(settings, history, settings.seeds === "same" ? first : first + lane));
}
