// Two answers to the same request, side by side.

export interface Answered {
  text: string;
  digest: string | null;
}

export interface Verdict {
  same: boolean;
  /** Null where a server gave no digest. */
  digests: "equal" | "different" | null;
  /** Where the texts part: what both begin with, and how each goes on. */
  parting: { at: number; before: string; first: string; second: string } | null;
}

const SHOWN = 40;

export function compare(first: Answered, second: Answered): Verdict {
  const digests =
    first.digest === null || second.digest === null ? null : first.digest === second.digest ? "equal" : "different";
  if (first.text === second.text) return { same: digests !== "different", digests, parting: null };
  let at = 0;
  while (at < first.text.length && first.text[at] === second.text[at]) at++;
  // Not inside a pair of surrogates.
  if (at > 0 && /[\uD800-\uDBFF]/.test(first.text[at - 1] ?? "")) at--;
  const parting = {
    at,
    before: first.text.slice(Math.max(0, at - SHOWN), at),
    first: first.text.slice(at, at + SHOWN),
    second: second.text.slice(at, at + SHOWN),
  };
  return { same: false, digests, parting };
}
