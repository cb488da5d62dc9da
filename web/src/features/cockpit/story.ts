/** A run's timeline with the time between its moments, and where its time went. Pure. */
import { secondsBetween } from "./figures";
import type { Moment, RunDetail, What } from "../../admin";

export interface Entry extends Moment {
  /** Seconds since the moment before; null for the first. */
  readonly since: number | null;
  /** So many checkpoints in a row, shown as one. */
  readonly times: number;
}

/** In order; checkpoints that follow one another in one attempt are one entry, the last of them. */
export function entries(timeline: readonly Moment[]): Entry[] {
  const told: Entry[] = [];
  for (const moment of timeline) {
    const last = told.at(-1);
    if (last && moment.what === "checkpoint" && last.what === "checkpoint" && last.attempt === moment.attempt) {
      const since = (last.since ?? 0) + (secondsBetween(last.at, moment.at) ?? 0);
      told[told.length - 1] = { ...moment, since, times: last.times + 1 };
    } else {
      told.push({ ...moment, since: secondsBetween(last?.at ?? null, moment.at), times: 1 });
    }
  }
  return told;
}

export type Phase = "waiting" | "queue" | "thinking" | "writing" | "lost";

export interface Span {
  readonly phase: Phase;
  readonly seconds: number;
}

/** What the run does from this moment on. Moments that are not named change nothing. */
const BEGINS: Partial<Record<What, Phase>> = {
  accepted: "waiting",
  queued: "queue",
  claimed: "thinking",
  taken_over: "thinking",
  first_text: "writing",
  checkpoint: "writing",
  released: "queue",
};

/**
 * Where the time went, in order. `now` closes what is still going on. A dead worker's time is lost. The first text is
 * the run's, and not each attempt's: who takes over a reply that has begun goes on with writing it.
 */
export function spans(timeline: readonly Moment[], now: string): Span[] {
  const found: Span[] = [];
  let phase: Phase | null = null;
  let since = "";
  let begun = false;
  const close = (at: string): void => {
    const seconds = secondsBetween(since || null, at) ?? 0;
    if (phase === null || seconds === 0) return;
    const last = found.at(-1);
    if (last?.phase === phase) found[found.length - 1] = { phase, seconds: last.seconds + seconds };
    else found.push({ phase, seconds });
  };
  for (const moment of timeline) {
    let next: Phase | null = moment.what === "ended" ? null : (BEGINS[moment.what] ?? phase);
    if (next === "thinking" && begun) next = "writing";
    begun ||= next === "writing";
    if (moment.what === "taken_over") phase = "lost";
    if (moment.what !== "ended" && next === phase) continue;
    close(moment.at);
    [phase, since] = [next, moment.at];
  }
  if (phase !== null) close(now);
  return found;
}

export function canStop(run: Pick<RunDetail, "state" | "stop_requested">): boolean {
  return !hasEnded(run) && !run.stop_requested;
}

export function hasEnded({ state }: Pick<RunDetail, "state">): boolean {
  return state === "done" || state === "stopped" || state === "failed";
}
