// How the page looks: light and dark, on a desk and on a phone, with less motion.

import axe from "axe-core";
import type { Browser } from "playwright-core";
import { check, Playground, type Place } from "./page";

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
    await accessible(it, colorScheme);
    await it.page.click("#tab-settings");
    await accessible(it, `${colorScheme}, settings`);
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
    await accessible(it, `phone, ${colorScheme}, ${name}`);
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

/** The rules of WCAG that a program can check: contrast, names, roles, order. */
async function accessible({ page }: Playground, where: string): Promise<void> {
  const violations = await page.evaluate(async (source) => {
    if (!("axe" in window)) (0, eval)(source);
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html.slice(0, 120)} ${node.failureSummary}`).join("; ")}`);
  }, axe.source);
  check(violations.length === 0, `${where}: ${violations.join("\n")}`);
}
