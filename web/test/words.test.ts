import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createKeep, memoryShelf } from "../src/keep";
import { en } from "../src/shared/en";
import { createPreferences, languageOf } from "../src/shared/preferences";
import { pt } from "../src/shared/pt";

const ERRORS = new URL("../../src/prosa/core/errors.py", import.meta.url);
// A client's mistakes in a frame, what stops a start, and what a restore refuses: no person on the page meets them.
const NOT_SHOWN = new Set(
  "bad_frame bad_request bad_id not_signed_in not_allowed forbidden_origin bus_unavailable bad_config data_folder_in_use data_folder_unusable port_taken store_refused broker_refused broker_mismatch schema_outdated model_file_missing backup_damaged backup_unknown backup_exists store_not_empty".split(" "),
);

test("every error that a person can meet has words in every language", () => {
  const codes = [...readFileSync(ERRORS, "utf-8").matchAll(/^ {4}code(?:: ClassVar\[str\])? = "(\w+)"/gm)].map((match) => match[1] as string);
  expect(codes.length).toBeGreaterThan(30);
  for (const code of codes.filter((one) => !NOT_SHOWN.has(one))) {
    expect(en.problems, code).toHaveProperty(code);
    expect(pt.problems, code).toHaveProperty(code);
  }
  expect(Object.keys(pt.problems).sort()).toEqual(Object.keys(en.problems).sort());
});

test("the browser's first language that the page speaks is taken, else English", () => {
  expect(languageOf(["fr-FR", "pt-BR", "en"])).toBe("pt");
  expect(languageOf(["PT"])).toBe("pt");
  expect(languageOf(["de", "fr"])).toBe("en");
});

test("choices are kept, and rubbish in the storage is not taken for one", () => {
  const keep = createKeep(memoryShelf());
  createPreferences(keep, ["pt"]).setState({ theme: "dark", language: "en", model: "big" });
  expect(createPreferences(keep, ["pt"]).getState()).toEqual({ theme: "dark", language: "en", model: "big" });
  keep.keepChoice("theme", "neon");
  keep.keepChoice("language", "constructor");
  expect(createPreferences(keep, ["pt"]).getState()).toMatchObject({ theme: "system", language: "pt" });
});
