// The times between tokens as a line: small and live beside an answer, large with percentiles in the details.

import { svg } from "./dom";
import { percentile } from "./stats";

/** At most this many points: more than a line has pixels help nobody. */
const POINTS = 240;

/** Means of equal shares of the values, so that a long answer keeps its shape. */
function thinned(values: readonly number[]): number[] {
  if (values.length <= POINTS) return [...values];
  return Array.from({ length: POINTS }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / POINTS), Math.floor(((i + 1) * values.length) / POINTS));
    return Math.max(...part);
  });
}

/** Bars of the last tokens: the higher, the longer the wait for it. */
export class Tape {
  readonly node: SVGElement;
  private readonly path: SVGElement;
  private readonly bars = 48;

  constructor() {
    this.path = svg("path", { fill: "none", stroke: "currentColor", "stroke-width": 1.5 });
    const view = { class: "tape", viewBox: `0 0 ${this.bars * 3} 16`, "aria-hidden": "true", focusable: "false" };
    this.node = svg("svg", view, this.path);
  }

  draw(gaps: readonly number[]): void {
    const shown = gaps.slice(-this.bars);
    const top = Math.max(percentile(shown, 0.9) * 1.6, 1e-3);
    const bars = shown.map((gap, i) => {
      const height = Math.min(15, 2 + (gap / top) * 13);
      return `M${i * 3 + 1} 16v${-height.toFixed(1)}`;
    });
    this.path.setAttribute("d", bars.join(""));
  }
}

const WIDTH = 320;
const HEIGHT = 96;

/** The sparkline of the details, with lines at p50 and p99. */
export class Sparkline {
  readonly node: SVGElement;
  private readonly area = svg("path", { class: "area" });
  private readonly line = svg("path", { class: "line" });
  private readonly p50 = svg("line", { class: "p50", x1: 0, x2: WIDTH });
  private readonly p99 = svg("line", { class: "p99", x1: 0, x2: WIDTH });

  constructor() {
    const view = { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" };
    this.node = svg("svg", view, this.area, this.line, this.p50, this.p99);
    this.draw([]);
  }

  draw(gaps: readonly number[]): void {
    const p50 = percentile(gaps, 0.5);
    const p99 = percentile(gaps, 0.99);
    const top = Math.max(p99 * 1.25, 1e-3);
    const y = (value: number) => (HEIGHT - 4 - Math.min(value / top, 1) * (HEIGHT - 10)).toFixed(1);
    const values = thinned(gaps);
    const step = WIDTH / Math.max(values.length - 1, 1);
    const points = values.map((value, i) => `${(i * step).toFixed(1)} ${y(value)}`);
    const line = points.length > 0 ? `M${points.join("L")}` : "";
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", line === "" ? "" : `${line}V${HEIGHT}H0Z`);
    for (const [mark, value] of [[this.p50, p50], [this.p99, p99]] as const) {
      const shown = Number.isFinite(value);
      mark.setAttribute("visibility", shown ? "visible" : "hidden");
      mark.setAttribute("y1", shown ? y(value) : "0");
      mark.setAttribute("y2", shown ? y(value) : "0");
    }
    const label = gaps.length === 0 ? "No tokens yet" : `Times between tokens, p50 and p99 are written below`;
    this.node.setAttribute("aria-label", label);
  }
}
