/** What a person chooses for this browser: language, appearance, model. */
import { createStore } from "zustand/vanilla";
import { en } from "./en";
import { pt } from "./pt";
import type { StoreApi } from "zustand/vanilla";
import type { Keep } from "../keep";

export const CATALOGUES = { en, pt };
export const THEMES = ["system", "light", "dark"] as const;

export type Language = keyof typeof CATALOGUES;
export type Theme = (typeof THEMES)[number];

export interface Preferences {
  readonly language: Language;
  readonly theme: Theme;
  /** The model to ask; null: the gateway's default. */
  readonly model: string | null;
}

/** The first of the browser's languages that the page speaks; else English. */
export function languageOf(languages: readonly string[]): Language {
  const known = languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => Object.hasOwn(CATALOGUES, tag));
  return (known as Language | undefined) ?? "en";
}

export function createPreferences(keep: Keep, languages: readonly string[]): StoreApi<Preferences> {
  const language = keep.choice("language");
  const theme = keep.choice("theme");
  const store = createStore<Preferences>(() => ({
    language: language !== null && Object.hasOwn(CATALOGUES, language) ? (language as Language) : languageOf(languages),
    theme: THEMES.find((one) => one === theme) ?? "system",
    model: keep.choice("model"),
  }));
  store.subscribe((now, before) => {
    if (now.language !== before.language) keep.keepChoice("language", now.language);
    if (now.theme !== before.theme) keep.keepChoice("theme", now.theme);
    if (now.model !== before.model) keep.keepChoice("model", now.model);
  });
  return store;
}
