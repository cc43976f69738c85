// The panel beside the conversation (over it, where there is no room): details and settings.

import { $ } from "./dom";
import { tabs } from "./tabs";

export class Panel {
  private readonly panel = $("panel");
  private readonly toggle = $("panel-toggle");
  private readonly choose: (index: number) => void;
  private readonly narrow = matchMedia("(max-width: 1000px)");
  private opener: Element | null = null;

  constructor() {
    const pages = [$("details"), $("settings")];
    this.choose = tabs([$("tab-details"), $("tab-settings")], (index) => pages.forEach((page, i) => (page.hidden = i !== index)));
    this.toggle.addEventListener("click", () => this.set(!this.isOpen));
    $("panel-close").addEventListener("click", () => this.set(false));
    this.narrow.addEventListener("change", () => this.set(!this.narrow.matches));
    this.set(!this.narrow.matches);
  }

  get isOpen(): boolean {
    return !this.panel.hidden;
  }

  /** True where the panel lies over the conversation. */
  get covers(): boolean {
    return this.narrow.matches && this.isOpen;
  }

  open(page: "details" | "settings"): void {
    this.choose(page === "details" ? 0 : 1);
    if (!this.isOpen) this.set(true);
  }

  close(): void {
    this.set(false);
  }

  private set(open: boolean): void {
    if (open) this.opener = document.activeElement;
    this.panel.hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
    document.body.classList.toggle("with-panel", open);
    if (this.narrow.matches && open) $("panel-close").focus();
    else if (!open && this.opener instanceof HTMLElement && this.opener.isConnected) this.opener.focus();
  }
}
