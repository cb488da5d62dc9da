/** What the cockpit knows of the installation, and how an answer or a failure changes it. Pure. */
import type { Overview, Pool, Rates } from "../../admin";

/** One second of the plots; null where the gateway had nothing to measure. */
export interface Sample extends Rates {
  /** Milliseconds since 1970 by the gateway's clock. */
  readonly at: number;
  readonly waiting: number;
  readonly queued: number;
  readonly running: number;
}

export interface Picture {
  /** `away`: the last picture is old. `refused`: the person is no administrator (any more). */
  readonly link: "asking" | "live" | "away" | "refused";
  readonly overview: Overview | null;
  readonly samples: readonly Sample[];
  /** When the last answer came, by the page's own clock. */
  readonly heard: number | null;
  /** When it is asked again, by the page's own clock; null while it is being asked. */
  readonly again: number | null;
}

export const BLANK: Picture = { link: "asking", overview: null, samples: [], heard: null, again: null };
export const WINDOW_MS = 5 * 60_000;
const STEPS_MS = [60_000, 2 * 60_000, WINDOW_MS];

/** How far back the plots reach: no further than there is something to see, in steps. */
export function windowOf(samples: readonly Sample[]): number {
  const known = (samples.at(-1)?.at ?? 0) - (samples[0]?.at ?? 0);
  return STEPS_MS.find((step) => step >= known) ?? WINDOW_MS;
}

export function heard(picture: Picture, overview: Overview, now: number): Picture {
  const sample = sampleOf(overview);
  const samples = picture.samples.filter((one) => one.at > sample.at - WINDOW_MS && one.at < sample.at);
  return { link: "live", overview: shared(picture.overview, overview), samples: [...samples, sample], heard: now, again: null };
}

export function failed(picture: Picture, again: number): Picture {
  return { ...picture, link: "away", again };
}

export function refused(picture: Picture): Picture {
  return { ...picture, link: "refused", overview: null, samples: [], again: null };
}

function sampleOf({ now, counts, rates }: Overview): Sample {
  return { at: Date.parse(now), ...counts, ...rates };
}

/** What did not change stays the same object, so that of a hundred workers only those render that changed. */
function shared(before: Overview | null, after: Overview): Overview {
  if (before === null) return after;
  return {
    ...after,
    pools: kept(before.pools, after.pools, (pool) => pool.pool),
    gateways: kept(before.gateways, after.gateways.map(calm), (gateway) => gateway.name),
    workers: kept(before.workers, after.workers.map(calm), (worker) => worker.name),
  };
}

/** The age of the last sign of life changes all the time, and says something only where it is too old. */
function calm<T extends { readonly alive: boolean; readonly alive_seconds: number }>(process: T): T {
  return process.alive ? { ...process, alive_seconds: 0 } : { ...process, alive_seconds: Math.round(process.alive_seconds) };
}

function kept<T>(before: readonly T[], after: readonly T[], key: (item: T) => string): readonly T[] {
  const known = new Map(before.map((item) => [key(item), item]));
  return after.map((item) => {
    const old = known.get(key(item));
    return old !== undefined && JSON.stringify(old) === JSON.stringify(item) ? old : item;
  });
}

export type Health = "well" | "draining" | "silent";

export function healthOf(process: { readonly alive: boolean; readonly draining: boolean; readonly drain_wanted?: boolean }): Health {
  if (!process.alive) return "silent";
  return process.draining || process.drain_wanted === true ? "draining" : "well";
}

/** Workers that serve the same pools stand together: the lines of the map lead to them as one. */
export interface Crew<W> {
  readonly key: string;
  readonly pools: readonly string[];
  readonly workers: readonly W[];
}

export function crews<W extends { readonly name: string; readonly pools: readonly string[] }>(workers: readonly W[]): Crew<W>[] {
  const groups = new Map<string, W[]>();
  for (const worker of [...workers].sort((a, b) => byName(a.name, b.name))) {
    const key = [...worker.pools].sort().join(" ");
    groups.set(key, [...(groups.get(key) ?? []), worker]);
  }
  const found = [...groups].map(([key, members]) => ({ key, pools: key.split(" ").filter(Boolean), workers: members }));
  return found.sort((a, b) => byName(a.key, b.key));
}

/** `worker-9` before `worker-10`. */
export function byName(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** How lively a line of the map is: 0 still … 3 brisk. In steps, so that it does not jump each second. */
export function pace(perSecond: number | null, busy: boolean): 0 | 1 | 2 | 3 {
  const rate = perSecond ?? 0;
  if (rate >= 50) return 3;
  if (rate >= 5) return 2;
  return rate > 0 || busy ? 1 : 0;
}

export function fullness(pool: Pick<Pool, "slots" | "slots_used">): number {
  return pool.slots > 0 ? Math.min(1, pool.slots_used / pool.slots) : 0;
}
