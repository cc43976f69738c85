// The current request as code: for curl, and for OpenAI's libraries in Python and JavaScript. A key is never written out.

import type { ChatRequest } from "./types";

export const LANGUAGES = ["curl", "Python", "JavaScript"] as const;
export type Language = (typeof LANGUAGES)[number];

const KEY = "LOCKSTEP_API_KEY";

export function code(language: Language, request: ChatRequest, origin: string): string {
  switch (language) {
    case "curl":
      return curl(request, origin);
    case "Python":
      return python(request, origin);
    case "JavaScript":
      return javascript(request, origin);
  }
}

function curl(request: ChatRequest, origin: string): string {
  const body = JSON.stringify(request, null, 2).replaceAll("'", "'\\''");
  return `curl -N ${origin}/v1/chat/completions \\
  -H "Authorization: Bearer $${KEY}" \\
  -H "Content-Type: application/json" \\
  -d '${body}'
`;
}

function python(request: ChatRequest, origin: string): string {
  const { top_k, ...known } = request;
  const fields = Object.entries(known).map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  if (top_k !== undefined) fields.push(`    extra_body={"top_k": ${top_k}},`);
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key=os.environ.get("${KEY}", "none"))
stream = client.chat.completions.create(
${fields.join("\n")}
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
`;
}

function javascript(request: ChatRequest, origin: string): string {
  const body = JSON.stringify(request, null, 2).replace(/^(\s*)"([a-z_]+)":/gm, "$1$2:");
  return `import OpenAI from "openai";

const client = new OpenAI({ baseURL: "${origin}/v1", apiKey: process.env.${KEY} ?? "none" });
const stream = await client.chat.completions.create(${body});
for await (const chunk of stream) {
  for (const choice of chunk.choices) process.stdout.write(choice.delta.content ?? "");
}
`;
}

/** A Python literal; strings of JSON are strings of Python too. */
function literal(value: unknown, depth: number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inner = "    ".repeat(depth + 1);
  const list = Array.isArray(value);
  const items = list
    ? value.map((item) => literal(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${literal(item, depth + 1)}`);
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length <= 80 && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${inner}${item},\n`).join("")}${"    ".repeat(depth)}${close}`;
}
