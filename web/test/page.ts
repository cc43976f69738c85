// A page of the playground in a browser, with what every test of it watches: errors, requests, policy.

import { join } from "node:path";
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";

export interface Place {
  /** The server's address, without a path. */
  url: string;
  key: string;
  /** Where pictures go. */
  pictures: string;
}

let passed = 0;

export function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
  passed++;
}

export function checks(): number {
  return passed;
}

export class Playground {
  readonly troubles: string[] = [];
  /** Statuses that the browser may log as errors: those a test asks for. */
  expected = new Set<number>();

  private constructor(
    readonly page: Page,
    private readonly place: Place,
  ) {
    page.on("console", (message) => {
      const status = /status of (\d+)/.exec(message.text())?.[1];
      if (status !== undefined && this.expected.has(Number(status))) return;
      if (["error", "warning"].includes(message.type())) this.troubles.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.troubles.push(`error: ${error.message}`));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${place.url}/`) && !url.startsWith("data:")) this.troubles.push(`request off the host: ${url}`);
    });
  }

  /** Opens the page; the key is typed where the page asks for it. */
  static async open(browser: Browser, place: Place, options: BrowserContextOptions = {}): Promise<Playground> {
    const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, ...options });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: place.url });
    const playground = new Playground(await context.newPage(), place);
    playground.page.setDefaultTimeout(60_000);
    playground.expected.add(401);
    const response = await playground.page.goto(`${place.url}/`);
    const policy = response?.headers()["content-security-policy"] ?? "";
    check(/default-src 'none'/.test(policy) && !/unsafe/.test(policy), `the page's policy is not strict: ${policy}`);
    await playground.press("#banner", "Enter a key");
    check(await playground.page.isVisible("input[name=key]"), "the banner does not lead to the key");
    await playground.page.keyboard.type(place.key);
    await playground.page.keyboard.press("Enter");
    await playground.page.waitForSelector("#model:enabled");
    check((await playground.page.locator("#banner > *").count()) === 0, "the banner stays after the key");
    check(await playground.page.evaluate(() => document.activeElement?.id === "message"), "the page does not go on after the key");
    playground.expected.delete(401);
    return playground;
  }

  /** Types a message and sends it by the keyboard. */
  async ask(text: string): Promise<void> {
    await this.page.focus("#message");
    await this.page.keyboard.type(text);
    await this.page.keyboard.press("Enter");
  }

  /** Sets a field of the settings, as people do: by its panel. */
  async set(fields: Record<string, string>): Promise<void> {
    if (!(await this.page.isVisible("#panel"))) await this.page.click("#panel-toggle");
    await this.page.click("#tab-settings");
    for (const [name, value] of Object.entries(fields)) {
      const field = this.page.locator(`#settings [name=${name}]`);
      if (name === "format") await field.selectOption(value);
      else await field.fill(value);
    }
    await this.page.click("#tab-details");
    if (await this.page.isVisible("#panel-close")) await this.page.click("#panel-close");
  }

  /** Presses the button of this name. */
  async press(within: string | Locator, name: string): Promise<void> {
    const scope = typeof within === "string" ? this.page.locator(within) : within;
    await scope.getByRole("button", { name, exact: true }).click();
  }

  answers(): Locator {
    return this.page.locator(".answer");
  }

  /** Waits until nothing streams. */
  async rest(): Promise<void> {
    await this.page.waitForFunction(() => !document.body.classList.contains("active"));
  }

  async text(selector: string): Promise<string> {
    return (await this.page.textContent(selector)) ?? "";
  }

  /** What the details say under a label. */
  async detail(label: string): Promise<string> {
    return this.page.evaluate((wanted) => {
      const terms = [...document.querySelectorAll("#details dt")];
      return terms.find((term) => term.textContent === wanted)?.nextElementSibling?.textContent ?? "";
    }, label);
  }

  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: join(this.place.pictures, `${name}.png`) });
  }

  /** No part of the page is wider than the window. */
  async fits(where: string): Promise<void> {
    const wide = await this.page.evaluate(() => {
      const over = [...document.querySelectorAll("header *, main > *, aside, dialog[open], #composer *, .answer > *")];
      const shown = over.filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth + 0.5);
      const pageWide = document.documentElement.scrollWidth > innerWidth || document.getElementById("chat")!.scrollWidth > innerWidth;
      return [...shown.map((node) => node.outerHTML.slice(0, 80)), ...(pageWide ? ["the page scrolls sideways"] : [])];
    });
    check(wide.length === 0, `${where}: wider than the window: ${wide.join("; ")}`);
  }

  async close(): Promise<void> {
    check(this.troubles.length === 0, this.troubles.join("\n"));
    await this.page.context().close();
  }
}
