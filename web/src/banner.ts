// What went wrong, which request it was, and what to do about it.

import { ApiError } from "./api";
import { $, el } from "./dom";

interface Advice {
  title: string;
  help: string;
}

function advice(error: ApiError): Advice {
  const wait = error.retryAfter === null ? "in a moment" : `in ${error.retryAfter} s`;
  switch (error.status) {
    case 0:
      if (error.body.type === "unreachable") {
        return { title: "No connection", help: "Check that lockstep serve runs and that this page's address is its own, then try again." };
      }
      return { title: "The answer broke off", help: "What came until then is kept. Try again; the same seed gives the same tokens." };
    case 400:
    case 422:
      return { title: "The request was not accepted", help: "Change the setting that the message names, then try again." };
    case 401:
      return { title: "An API key is needed", help: "Put a key of this server into the settings: lockstep keys add makes one." };
    case 403:
      return { title: "Not allowed", help: "This key, or this address of the page, has no access." };
    case 404:
      return { title: "Not found", help: "Choose a model that the server lists." };
    case 413:
      return { title: "The conversation is too long", help: "Start a new one, or shorten the message." };
    case 429:
      return { title: "The server has its hands full", help: `Try again ${wait}, or with fewer streams.` };
    case 498:
      return { title: "No room right now", help: `Try again ${wait}.` };
    case 503:
      return { title: "The server is not ready", help: `It starts or shuts down. Try again ${wait}.` };
    default:
      return { title: "The server failed", help: "Try again. If it stays, look for the request in the server's log." };
  }
}

export function clearBanner(): void {
  $("banner").replaceChildren();
}

/** Shows the error; `again` is what its button does. */
export function showError(error: ApiError, again: () => void, askKey: () => void): void {
  const { title, help } = advice(error);
  const code = [error.status || null, error.body.code ?? error.body.type].filter(Boolean).join(" ");
  const small = [code, error.requestId === null ? "" : `request ${error.requestId}`].filter(Boolean).join(" \u00b7 ");
  const button = (label: string, act: () => void) =>
    el("button", { type: "button", click: () => (clearBanner(), act()) }, label);
  $("banner").replaceChildren(
    el(
      "div",
      {},
      el("strong", {}, title),
      el("p", {}, error.body.message),
      el("p", {}, help),
      small === "" ? null : el("p", { class: "small" }, small),
    ),
    el(
      "div",
      { class: "buttons" },
      error.status === 401 ? button("Enter a key", askKey) : null,
      button("Try again", again),
      el("button", { type: "button", class: "quiet", click: clearBanner }, "Dismiss"),
    ),
  );
}

/** An error of the settings, found before anything is sent. */
export function showProblem(message: string): void {
  const dismiss = el("button", { type: "button", class: "quiet", click: clearBanner }, "Dismiss");
  $("banner").replaceChildren(el("div", {}, el("strong", {}, "Not sent"), el("p", {}, message)), el("div", { class: "buttons" }, dismiss));
}
