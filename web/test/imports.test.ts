/** Imports point one way: protocol ← client ← reducer ← store ← shared ← features ← app; features are strangers. */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const SRC = resolve(import.meta.dirname, "../src");
const ZONES: readonly (readonly string[])[] = [
  ["protocol.ts"],
  ["client.ts", "api.ts", "admin.ts", "uuid.ts"],
  ["run.ts", "thread.ts", "listing.ts", "state.ts", "reducer.ts"],
  ["keep.ts", "store.ts"],
  ["shared"],
  ["features"],
  ["app", "main.tsx"],
];
const WITHOUT_REACT = 4;
const FROM = /(?:from|import)\s*\(?\s*"([^"]+)"/g;

const files = readdirSync(SRC, { recursive: true, encoding: "utf-8" }).filter((path) => /\.tsx?$/.test(path));

function zone(path: string): number {
  return ZONES.findIndex((zone) => zone.includes(path.split("/")[0] ?? ""));
}

function imports(path: string): string[] {
  return [...readFileSync(join(SRC, path), "utf-8").matchAll(FROM)].map((match) => match[1] as string);
}

function own(path: string): string[] {
  const local = imports(path).filter((name) => name.startsWith("."));
  return local.map((name) => relative(SRC, resolve(SRC, dirname(path), name)));
}

function found(target: string): string {
  const hit = files.find((path) => path === target || path.replace(/\.tsx?$/, "") === target || path.startsWith(`${target}/index.`));
  return hit ?? target;
}

test.each(files)("%s lives in a zone and imports only its own and lower ones", (path) => {
  expect(zone(path)).not.toBe(-1);
  for (const target of own(path).map(found).filter((name) => !name.endsWith(".css"))) {
    expect(zone(target), `${path} → ${target}`).toBeGreaterThanOrEqual(0);
    expect(zone(target), `${path} → ${target}`).toBeLessThanOrEqual(zone(path));
  }
});

test.each(files.filter((path) => path.startsWith("features/")))("%s knows no other feature", (path) => {
  const room = path.split("/").slice(0, 2).join("/");
  for (const target of own(path)) if (target.startsWith("features/")) expect(target.startsWith(room)).toBe(true);
});

test.each(files.filter((path) => zone(path) < WITHOUT_REACT))("%s works without React", (path) => {
  expect(imports(path).filter((name) => /^react|zustand$|zustand\/react/.test(name))).toEqual([]);
});
