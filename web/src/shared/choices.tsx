/** The switches for language and appearance: in the settings and on the sign-in page. */
import { usePreferences, useWords } from "./context";
import { CATALOGUES, THEMES } from "./preferences";
import type { Language, Theme } from "./preferences";

const FIELD = "rounded-lg border border-line bg-raised px-2.5 py-1.5 text-sm text-ink hover:bg-hover";

export function LanguageChoice() {
  const words = useWords();
  const [{ language }, set] = usePreferences();
  return (
    <select
      aria-label={words.settings.language}
      data-testid="language"
      className={FIELD}
      value={language}
      onChange={(event) => set({ language: event.target.value as Language })}
    >
      {Object.entries(CATALOGUES).map(([key, catalogue]) => (
        <option key={key} value={key} lang={key}>
          {catalogue.name}
        </option>
      ))}
    </select>
  );
}

export function ThemeChoice() {
  const words = useWords();
  const [{ theme }, set] = usePreferences();
  return (
    <select
      aria-label={words.settings.theme}
      data-testid="theme"
      className={FIELD}
      value={theme}
      onChange={(event) => set({ theme: event.target.value as Theme })}
    >
      {THEMES.map((name) => (
        <option key={name} value={name}>
          {words.settings[name]}
        </option>
      ))}
    </select>
  );
}
