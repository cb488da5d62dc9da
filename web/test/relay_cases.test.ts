import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { heard, newRun } from "../src/run";
import type { RunEvent } from "../src/run";
import type { RunState } from "../src/protocol";

interface Case {
  readonly name: string;
  readonly given: { readonly attempt: number; readonly state: RunState; readonly text: string };
  readonly events: readonly Record<string, unknown>[];
  readonly expect: Record<string, unknown>;
}

const TABLE = new URL("../../tests/relay_cases.json", import.meta.url);
const CASES = JSON.parse(readFileSync(TABLE, "utf-8")) as readonly Case[];
const IDS = { run: "run", chat: "chat", reply: "reply" };

function event(given: Record<string, unknown>): RunEvent {
  const state = given.type === "snapshot" ? { state: "running" } : {};
  return { ...IDS, ...state, ...given } as unknown as RunEvent;
}

test.each(CASES)("$name", ({ given, events, expect: expected }) => {
  let run = newRun("run", "chat", { ...given, seq: [...given.text].length });
  let asked = false;
  for (const one of events) {
    const [next, ask] = heard(run, event(one));
    run = next;
    asked ||= ask;
  }
  const { attempt, state, text, seq } = run;
  expect({ attempt, state, text, seq, asked }).toEqual(expected);
});
