/** Where in the cockpit somebody is, as its address says it. Pure. */
import { FILTERS } from "../../admin";
import { isUuid } from "../../uuid";
import type { Filters } from "../../admin";
import type { Uuid } from "../../protocol";

export type Place =
  | { readonly view: "map" }
  | { readonly view: "runs"; readonly filters: Filters; readonly cursor: string | null }
  | { readonly view: "run"; readonly run: Uuid };

export const MAP = "/cockpit";

export function placeOf(address: string): Place {
  const { pathname, searchParams } = new URL(address, "http://page");
  const [, , view, run] = pathname.split("/");
  if (view === "runs" && run !== undefined && isUuid(run)) return { view: "run", run: run.toLowerCase() };
  if (view === "runs") return { view: "runs", filters: filtersOf(searchParams), cursor: searchParams.get("cursor") };
  return { view: "map" };
}

export function runsPath(filters: Filters = {}, cursor: string | null = null): string {
  const given = FILTERS.map((name) => [name, filters[name]?.trim() ?? ""]).filter(([, value]) => value);
  const query = new URLSearchParams(cursor ? [...given, ["cursor", cursor]] : given).toString();
  return query === "" ? `${MAP}/runs` : `${MAP}/runs?${query}`;
}

export function runPath(run: Uuid): string {
  return `${MAP}/runs/${run}`;
}

function filtersOf(query: URLSearchParams): Filters {
  return Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? ""]).filter(([, value]) => value));
}

/** The pages between the newest one and this one, as the browser keeps them with each step. */
export function trailOf(state: unknown): readonly (string | null)[] {
  const trail = (state as { trail?: unknown } | null)?.trail;
  return Array.isArray(trail) ? trail.filter((one): one is string | null => one === null || typeof one === "string") : [];
}
