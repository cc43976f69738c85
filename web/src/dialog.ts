// "View code": the current request in three languages.

import { code, LANGUAGES, type Language } from "./code";
import { $, copy, el } from "./dom";
import { tabs } from "./tabs";
import type { ChatRequest } from "./types";

export class CodeDialog {
  private readonly dialog = $<HTMLDialogElement>("code-dialog");
  private readonly choose: (index: number) => void;
  private request: ChatRequest | null = null;
  private language: Language = "curl";

  constructor() {
    const text = $("code-text");
    const buttons = LANGUAGES.map((language) => el("button", { type: "button", role: "tab", "aria-controls": "code-text" }, language));
    $("languages").append(...buttons);
    this.choose = tabs(buttons, (index) => {
      this.language = LANGUAGES[index] ?? "curl";
      const shown = text.firstElementChild;
      if (this.request && shown) shown.textContent = code(this.language, this.request, location.origin);
      text.scrollTo(0, 0);
    });
    const copyButton = $<HTMLButtonElement>("code-copy");
    copyButton.addEventListener("click", () => void copy(text.textContent ?? "", copyButton));
    $("code-close").addEventListener("click", () => this.dialog.close());
    // A click beside the dialog is one on its backdrop.
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  open(request: ChatRequest): void {
    this.request = request;
    this.choose(LANGUAGES.indexOf(this.language));
    this.dialog.showModal();
  }
}
