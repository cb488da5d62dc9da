/** The administrators' calls: how the installation stands, its runs, and the few things that can be done to them. */
import type { Call } from "./api";
import type { Finish, Instant, RunState, Uuid } from "./protocol";

export interface Pool {
  readonly pool: string;
  readonly queued: number;
  readonly running: number;
  readonly slots: number;
  readonly slots_used: number;
  /** How long the oldest run in the queue waits; null where none does. */
  readonly oldest_seconds: number | null;
}

interface Process {
  readonly name: string;
  readonly host: string;
  readonly version: string;
  /** Null where an older version does not say. */
  readonly started_at: Instant | null;
  /** Since it last said that it lives. */
  readonly alive_seconds: number;
  readonly alive: boolean;
  readonly draining: boolean;
}

export interface Gateway extends Process {
  readonly sockets: number;
  /** Runs that somebody at this gateway looks at. */
  readonly watched: number;
}

export interface Worker extends Process {
  readonly slots: number;
  readonly slots_used: number;
  readonly pools: readonly string[];
  /** It was asked to drain and may not have heard yet. */
  readonly drain_wanted: boolean;
}

/** Of the last 60 seconds; null where there was nothing to measure. */
export interface Rates {
  readonly accepted_per_second: number | null;
  readonly answered_per_second: number | null;
  readonly failed_per_second: number | null;
  readonly first_token_p50_seconds: number | null;
  readonly first_token_p95_seconds: number | null;
  readonly run_p50_seconds: number | null;
  readonly run_p95_seconds: number | null;
}

export interface Overview {
  readonly now: Instant;
  readonly counts: { readonly waiting: number; readonly queued: number; readonly running: number };
  readonly pools: readonly Pool[];
  readonly gateways: readonly Gateway[];
  readonly workers: readonly Worker[];
  readonly rates: Rates;
  /** Messages in the dead-letter queue; null while the broker cannot say. */
  readonly dead_letters: number | null;
}

export interface RunView {
  readonly id: Uuid;
  readonly chat: Uuid;
  readonly user: { readonly id: Uuid; readonly username: string };
  readonly state: RunState;
  readonly finish: Finish | null;
  readonly code: string | null;
  readonly model: string | null;
  readonly pool: string;
  readonly worker: string | null;
  readonly attempt: number;
  readonly crashes: number;
  readonly created_at: Instant;
  readonly queued_at: Instant | null;
  readonly started_at: Instant | null;
  readonly ended_at: Instant | null;
}

export interface RunDetail extends RunView {
  readonly error_message: string | null;
  readonly prompt_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly stop_requested: boolean;
  readonly dispatches: number;
  readonly trace: string;
}

export type What = "accepted" | "queued" | "claimed" | "first_text" | "checkpoint" | "taken_over" | "released" | "stop_asked" | "ended";

export interface Moment {
  readonly at: Instant;
  readonly what: What;
  readonly attempt: number | null;
  readonly worker: string | null;
  readonly detail: string | null;
}

export interface Story {
  readonly run: RunDetail;
  readonly timeline: readonly Moment[];
}

/** A page may be short, or empty, with more behind it: the gateway looks at so many runs at a time. */
export interface RunPage {
  readonly items: readonly RunView[];
  readonly next: string | null;
}

export const FILTERS = ["state", "user", "model", "worker", "code", "chat", "run"] as const;
export type Filters = Partial<Readonly<Record<(typeof FILTERS)[number], string>>>;

export interface Admin {
  overview(signal: AbortSignal): Promise<Overview>;
  runs(filters: Filters, cursor: string | null, limit: number): Promise<RunPage>;
  story(run: Uuid): Promise<Story>;
  stop(run: Uuid): Promise<void>;
  /** The id of the new run. */
  retry(run: Uuid): Promise<Uuid>;
  drain(worker: string): Promise<void>;
}

export function createAdmin(call: Call): Admin {
  return {
    overview: (signal) => call("GET", "/api/admin/overview", undefined, signal),
    runs: (filters, cursor, limit) => call("GET", `/api/admin/runs?${query({ ...filters, cursor, limit: String(limit) })}`),
    story: (run) => call("GET", `/api/admin/runs/${encodeURIComponent(run)}`),
    stop: (run) => call("POST", `/api/admin/runs/${encodeURIComponent(run)}/stop`),
    retry: async (run) => (await call<{ run: Uuid }>("POST", `/api/admin/runs/${encodeURIComponent(run)}/retry`)).run,
    drain: (worker) => call("POST", `/api/admin/workers/${encodeURIComponent(worker)}/drain`),
  };
}

function query(given: Readonly<Record<string, string | null>>): URLSearchParams {
  return new URLSearchParams(Object.entries(given).filter((entry): entry is [string, string] => Boolean(entry[1])));
}
