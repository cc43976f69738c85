// The little of Markdown that answers use, as elements made of text: no markup of an answer reaches the document.

import { copy, el, say } from "./dom";

type Block =
  | { kind: "code"; text: string; language: string }
  | { kind: "heading" | "text"; text: string }
  | { kind: "list"; ordered: boolean; start: number; items: string[] };

const FENCE = /^\s{0,3}```(\S*)\s*$/;
const ITEM = /^\s*(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;

export function blocks(source: string): Block[] {
  const found: Block[] = [];
  const lines = source.split("\n");
  let open = false;
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? "";
    const last = found.at(-1);
    const fence = FENCE.exec(line);
    if (fence) {
      const code: string[] = [];
      while (++i < lines.length && !/^\s{0,3}```\s*$/.test(lines[i] ?? "")) code.push(lines[i] ?? "");
      found.push({ kind: "code", text: code.join("\n"), language: fence[1] ?? "" });
      open = false;
      continue;
    }
    const heading = /^#{1,6}\s+(.*)$/.exec(line);
    const item = ITEM.exec(line);
    if (line.trim() === "") open = false;
    else if (heading) {
      found.push({ kind: "heading", text: heading[1] ?? "" });
      open = false;
    } else if (item) {
      const ordered = item[1] !== undefined;
      if (last?.kind === "list" && last.ordered === ordered) last.items.push(item[2] ?? "");
      else found.push({ kind: "list", ordered, start: Number(item[1] ?? 1), items: [item[2] ?? ""] });
      open = true;
    } else if (open && last?.kind === "text") last.text += `\n${line}`;
    else if (open && last?.kind === "list") last.items.push(`${last.items.pop() ?? ""}\n${line.trim()}`);
    else {
      found.push({ kind: "text", text: line });
      open = true;
    }
  }
  return found;
}

/** Emphasis and code inside a line. */
export function inline(text: string): (Node | string)[] {
  const parts: (Node | string)[] = [];
  let from = 0;
  for (const match of text.matchAll(/`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^*\s][^*\n]*)\*/g)) {
    parts.push(text.slice(from, match.index));
    const [whole, code, strong, weak] = match;
    if (code !== undefined) parts.push(el("code", {}, code));
    else if (strong !== undefined) parts.push(el("strong", {}, strong));
    else parts.push(el("em", {}, weak ?? ""));
    from = match.index + whole.length;
  }
  parts.push(text.slice(from));
  return parts.filter((part) => part !== "");
}

function node(block: Block): HTMLElement {
  switch (block.kind) {
    case "code": {
      const source = el("code", {}, block.text);
      const button = el("button", { type: "button", class: "quiet" }, "Copy");
      button.addEventListener("click", () => void copy(source.textContent ?? "", button));
      const head = el("div", { class: "fence-head" }, el("span", {}, block.language || "text"), button);
      return el("div", { class: "fence" }, head, el("pre", { tabindex: 0 }, source));
    }
    case "heading":
      return el("p", { class: "heading" }, ...inline(block.text));
    case "text":
      return el("p", {}, ...inline(block.text));
    case "list": {
      const items = block.items.map((item) => el("li", {}, ...inline(item)));
      return block.ordered ? el("ol", { start: block.start }, ...items) : el("ul", {}, ...items);
    }
  }
}

/** Shows a text that grows: blocks that did not change keep their elements, and with them selection and focus. */
export class Markdown {
  private shown: string[] = [];

  constructor(readonly node: HTMLElement) {}

  show(source: string): void {
    const now = blocks(source);
    now.forEach((block, i) => {
      const key = JSON.stringify(block);
      if (this.shown[i] === key) return;
      const old = this.node.children[i];
      // A growing code block keeps its element, and with it the place it is scrolled to.
      const language = old?.querySelector(".fence-head span")?.textContent;
      const code = block.kind === "code" && language === (block.language || "text") ? old?.querySelector("pre > code") : null;
      if (code && block.kind === "code") say(code, block.text);
      else if (old) old.replaceWith(node(block));
      else this.node.append(node(block));
      this.shown[i] = key;
    });
    while (this.node.children.length > now.length) this.node.lastElementChild?.remove();
    this.shown.length = now.length;
  }
}
