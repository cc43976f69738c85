// Measures and how they are written.

/** The smallest value that at least this share of all does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? NaN;
}

/** Tokens a second of arrivals in milliseconds: the first token's own time is no gap. */
export function rate(arrivals: readonly number[]): number {
  const first = arrivals[0];
  const last = arrivals.at(-1);
  if (first === undefined || last === undefined || last <= first) return NaN;
  return ((arrivals.length - 1) * 1000) / (last - first);
}

/**
 * Times between tokens. Browsers hand over together what came while they were busy: such tokens share the time since the
 * read before. Those of the first read have no time before them.
 */
export function gaps(arrivals: readonly number[]): number[] {
  const found: number[] = [];
  let before: number | undefined;
  for (let i = 0; i < arrivals.length; ) {
    const at = arrivals[i] ?? 0;
    let end = i + 1;
    while (end < arrivals.length && arrivals[end] === at) end++;
    if (before !== undefined) found.push(...Array<number>(end - i).fill((at - before) / (end - i)));
    before = at;
    i = end;
  }
  return found;
}

const NONE = "\u2013";

/** A rate for a glance: whole numbers, one decimal below ten. */
export function perSecond(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US");
}

/** Milliseconds for a glance. */
export function wholeMs(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US");
}

/** Seconds with the unit that reads best, to three or four digits. */
export function time(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return NONE;
  if (seconds >= 1) return `${seconds.toFixed(seconds >= 100 ? 1 : 2)} s`;
  if (seconds >= 1e-3) return `${(seconds * 1e3).toFixed(seconds >= 0.1 ? 0 : 1)} ms`;
  return `${(seconds * 1e6).toFixed(1)} \u00b5s`;
}

/** An exact time: nothing is rounded away down to the nanosecond. */
export function exactTime(seconds: number | undefined): string {
  if (seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const [unit, scale, digits] = seconds >= 1 ? ["s", 1, 9] : seconds >= 1e-3 ? ["ms", 1e3, 6] : ["\u00b5s", 1e6, 3];
  return `${(seconds * Number(scale)).toFixed(Number(digits))} ${unit}`;
}

export function tokens(value: number): string {
  return `${count(value)} ${value === 1 ? "token" : "tokens"}`;
}

export function count(value: number | undefined): string {
  return value === undefined ? NONE : value.toLocaleString("en-US");
}
