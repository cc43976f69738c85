// The form of the settings. All but the key are kept for the next visit; the key lives as long as the tab.

import { $ } from "./dom";
import { DEFAULTS, type Settings } from "./settings";
import type { Model } from "./types";

const PLACE = "lockstep.settings";
const KEY = "lockstep.key";

/** Storage may be forbidden; then nothing is kept. */
function stored(storage: () => Storage, name: string): string {
  try {
    return storage().getItem(name) ?? "";
  } catch {
    return "";
  }
}

function store(storage: () => Storage, name: string, value: string): void {
  try {
    if (value === "") storage().removeItem(name);
    else storage().setItem(name, value);
  } catch {
    // Then it holds for this visit.
  }
}

export const kept = {
  get: (name: string) => stored(() => localStorage, name),
  set: (name: string, value: string) => store(() => localStorage, name, value),
};

type Field = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

export class Controls {
  settings: Settings;
  key = stored(() => sessionStorage, KEY);
  private readonly form = $("settings").firstElementChild as HTMLFormElement;
  private readonly model = $<HTMLSelectElement>("model");
  private readonly streams = $<HTMLSelectElement>("streams");
  private readonly seeds = $<HTMLSelectElement>("seeds");

  constructor(keyChanged: () => void) {
    this.settings = restored();
    for (let n = 1; n <= 8; n++) this.streams.add(new Option(String(n)));
    this.write();
    this.form.addEventListener("input", () => this.read());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    for (const select of [this.model, this.streams, this.seeds]) select.addEventListener("change", () => this.read());
    this.field("key").addEventListener("change", () => {
      this.key = this.field("key").value.trim();
      store(() => sessionStorage, KEY, this.key);
      keyChanged();
    });
    $("reset").addEventListener("click", () => {
      this.settings = { ...DEFAULTS, model: this.settings.model };
      this.write();
      this.read();
    });
  }

  /** The models that the server lists; the one chosen stays so if it is among them. */
  offer(models: readonly Model[]): void {
    this.model.replaceChildren(...models.map((model) => new Option(model.id)));
    this.model.disabled = models.length === 0;
    if (models.some((model) => model.id === this.settings.model)) this.model.value = this.settings.model;
    this.read();
  }

  focusKey(): void {
    this.field("key").focus();
  }

  private field(name: string): Field {
    return this.form.elements.namedItem(name) as Field;
  }

  private read(): void {
    const text = (name: string) => this.field(name).value;
    const whole = (name: string) => {
      const value = Number.parseInt(text(name), 10);
      return Number.isSafeInteger(value) ? value : null;
    };
    this.settings = {
      model: this.model.value,
      system: text("system"),
      temperature: Number(text("temperature")),
      top_p: Number(text("top_p")),
      top_k: whole("top_k"),
      max_tokens: whole("max_tokens"),
      seed: whole("seed"),
      stop: text("stop"),
      format: text("format") as Settings["format"],
      schema: text("schema"),
      streams: Number(this.streams.value),
      seeds: this.seeds.value as Settings["seeds"],
    };
    kept.set(PLACE, JSON.stringify(this.settings));
    this.depend();
  }

  private write(): void {
    const { settings } = this;
    for (const name of ["system", "temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "format", "schema"] as const) {
      this.field(name).value = String(settings[name] ?? "");
    }
    this.field("key").value = this.key;
    this.streams.value = String(settings.streams);
    this.seeds.value = settings.seeds;
    this.depend();
  }

  /** What other fields decide. */
  private depend(): void {
    $("schema-label").hidden = this.settings.format !== "json_schema";
    $("seeds-label").hidden = this.settings.streams === 1;
    for (const output of this.form.querySelectorAll("output")) {
      output.value = Number(this.field(output.htmlFor.value).value).toFixed(2);
    }
  }
}

/** Settings of an earlier visit, as far as they have the types of today's. */
function restored(): Settings {
  const settings: Settings = { ...DEFAULTS };
  try {
    const old = JSON.parse(kept.get(PLACE) || "{}") as Partial<Settings>;
    for (const name of Object.keys(DEFAULTS) as (keyof Settings)[]) {
      const value = old[name];
      const fits = typeof value === typeof DEFAULTS[name] || (DEFAULTS[name] === null && Number.isSafeInteger(value));
      if (fits || (value === null && name === "max_tokens")) Object.assign(settings, { [name]: value });
    }
  } catch {
    return { ...DEFAULTS };
  }
  return settings;
}
