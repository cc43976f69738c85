// How the page looks: light and dark, on a desk and on a phone, with less motion.

import type { Browser } from "playwright-core";
import { check, Playground, type Place } from "./page";

/** Text over the colour behind it, by the formula of WCAG: at least 4.5 for any text that people read. */
const CONTRAST = 4.5;

export async function looks(browser: Browser, place: Place): Promise<void> {
  const backs: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    const it = await Playground.open(browser, place, { colorScheme, reducedMotion: "reduce" });
    await it.set({ max_tokens: "48", seed: "2" });
    await it.ask("Write a Python function that adds two numbers.");
    await it.page.waitForSelector(".answer[data-state=streaming]");
    const beat = await it.page.evaluate(() => getComputedStyle(document.querySelector("h1 .beat")!).animationName);
    check(beat === "none", "something moves where motion is not wanted");
    await it.rest();
    await it.press(".answer", "Replay and compare");
    await it.page.waitForSelector(".verdict[data-state=same]");
    await it.picture(`desktop-${colorScheme}`);
    const pale = await it.page.evaluate(contrast, CONTRAST);
    check(pale.length === 0, `${colorScheme}: ${pale.join("; ")}`);
    const back = () => it.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    backs.push(await back());
    await it.page.click("#theme");
    check((await back()) !== backs.at(-1), "the button does not change light and dark");
    await it.page.reload();
    check((await back()) !== backs.at(-1), "the choice of light or dark is not kept");
    await it.close();
    await phone(browser, place, colorScheme);
  }
  check(backs[0] !== backs[1], `light and dark look alike: ${backs[0]}`);
}

async function phone(browser: Browser, place: Place, colorScheme: "light" | "dark"): Promise<void> {
  const it = await Playground.open(browser, place, { colorScheme, viewport: { width: 360, height: 740 } });
  const { page } = it;
  const shown = async (name: string) => {
    await it.fits(name);
    await it.picture(`phone-${colorScheme}-${name}`);
  };
  await shown("welcome");
  await it.set({ max_tokens: "48", seed: "2", temperature: "0.2" });
  await it.ask("Write a Python function that adds two numbers, with a very long line of comment.");
  await page.waitForSelector(".answer[data-state=streaming]");
  await shown("stream");
  await it.rest();
  await it.press(".answer", "Replay and compare");
  await page.waitForSelector(".verdict[data-state=same]");
  await shown("replay");
  await it.press(".answer", "Details");
  check(await page.evaluate(() => document.activeElement?.id === "panel-close"), "the panel gets no focus");
  await shown("details");
  await page.keyboard.press("Escape");
  check(!(await page.isVisible("#panel")), "Escape does not close the panel");
  await page.click("#panel-toggle");
  await page.click("#tab-settings");
  await shown("settings");
  await page.click("#panel-close");
  await page.click("#code");
  await shown("code");
  await page.keyboard.press("Escape");
  await page.selectOption("#streams", "4");
  await it.ask("Hello");
  await it.rest();
  await shown("streams");
  await it.close();
}

/** Runs in the page: texts too pale for what is behind them. */
function contrast(least: number): string[] {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const over = (colours: string[]): number[] => {
    paint.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      paint.fillStyle = colour;
      paint.fillRect(0, 0, 1, 1);
    }
    return [...paint.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb: number[]) => {
    const [r = 0, g = 0, b = 0] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Set<string>();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent?.trim() ?? "";
    if (!parent || text === "" || text === "\u2013" || !parent.checkVisibility() || parent.closest(":disabled, script, style, .unseen, .skip")) continue;
    const behind: string[] = [];
    for (let node: Element | null = parent; node; node = node.parentElement) behind.unshift(getComputedStyle(node).backgroundColor);
    const back = luminance(over(behind));
    const front = luminance(over([...behind, getComputedStyle(parent).color]));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (ratio < least) found.add(`"${text.slice(0, 30)}" has contrast ${ratio.toFixed(2)}`);
  }
  return [...found];
}
