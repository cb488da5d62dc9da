import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { BACKOFF, DEADLINE_MS, EVERY_MS, createFeed } from "../src/features/cockpit/feed";
import { duration, figure } from "../src/features/cockpit/figures";
import { BLANK, WINDOW_MS, crews, heard, healthOf, pace, windowOf } from "../src/features/cockpit/picture";
import { placeOf, runPath, runsPath, trailOf } from "../src/features/cockpit/place";
import { areaPath, linePath, nearest, niceTop } from "../src/features/cockpit/plot";
import { canStop, entries, spans } from "../src/features/cockpit/story";
import { cellsOf } from "../src/features/cockpit/Cells";
import { COCKPIT_WORDS } from "../src/features/cockpit/words";
import { inCockpit } from "../src/app/route";
import type { Moment, Overview, What, Worker } from "../src/admin";
import type { Feed } from "../src/features/cockpit/feed";
import type { Sample } from "../src/features/cockpit/picture";

const RUN = "01900000-0000-7000-8000-000000000001";
const RATES = {
  accepted_per_second: 2,
  answered_per_second: 1,
  failed_per_second: null,
  first_token_p50_seconds: null,
  first_token_p95_seconds: null,
  run_p50_seconds: null,
  run_p95_seconds: null,
};

function worker(given: Partial<Worker> = {}): Worker {
  const process = { name: "w-1", host: "h", version: "1", started_at: "2026-01-01T00:00:00Z", alive_seconds: 0.4, alive: true, draining: false };
  return { ...process, slots: 4, slots_used: 1, pools: ["main"], drain_wanted: false, ...given };
}

function overview(seconds = 0, given: Partial<Overview> = {}): Overview {
  const now = new Date(Date.UTC(2026, 0, 1) + seconds * 1_000).toISOString();
  return { now, counts: { waiting: 0, queued: 1, running: 2 }, pools: [], gateways: [], workers: [worker()], rates: RATES, dead_letters: 0, ...given };
}

// ── where somebody is ──

test("filters and the page of the list stand in the address, and come back from it", () => {
  const filters = { state: "failed", worker: "w 1/ä", code: "model_broke" };
  expect(placeOf(runsPath(filters, "a+b="))).toEqual({ view: "runs", filters, cursor: "a+b=" });
  expect(runsPath({ user: "  ", model: "big" })).toBe("/cockpit/runs?model=big");
  expect(placeOf("/cockpit/runs?nonsense=1&state=")).toEqual({ view: "runs", filters: {}, cursor: null });
});

test("a run has an address of its own, and what is no run's id leads to the list", () => {
  expect(placeOf(runPath(RUN))).toEqual({ view: "run", run: RUN });
  expect(placeOf("/cockpit/runs/rubbish")).toMatchObject({ view: "runs" });
  expect(placeOf("/cockpit")).toEqual({ view: "map" });
});

test("only the cockpit's own addresses lead to it", () => {
  expect(["/cockpit", "/cockpit/", "/cockpit/runs"].map(inCockpit)).toEqual([true, true, true]);
  expect(["/", "/cockpits", "/c/cockpit"].map(inCockpit)).toEqual([false, false, false]);
});

test("rubbish kept with a step of the history is no way back", () => {
  expect([trailOf(null), trailOf({ trail: "x" }), trailOf({ trail: [null, "a", 3] })]).toEqual([[], [], [null, "a"]]);
});

// ── the picture ──

test("what did not change stays the same object, though its age does", () => {
  const first = heard(BLANK, overview(0, { workers: [worker(), worker({ name: "w-2" })] }), 0);
  const next = heard(first, overview(1, { workers: [worker({ alive_seconds: 0.9 }), worker({ name: "w-2", slots_used: 3 })] }), 1_000);
  const again = heard(next, overview(2, { workers: [worker({ alive_seconds: 0.1 }), worker({ name: "w-2", slots_used: 3 })] }), 2_000);
  expect(again.overview?.workers[0]).toBe(next.overview?.workers[0]);
  expect(again.overview?.workers[1]).toBe(next.overview?.workers[1]);
  expect(next.overview?.workers[1]).not.toBe(first.overview?.workers[1]);
});

test("samples are kept for the window and never twice for one moment", () => {
  let picture = BLANK;
  for (const second of [0, 1, 1, 2, WINDOW_MS / 1_000 + 1]) picture = heard(picture, overview(second), 0);
  expect(picture.samples.map(({ at }) => (at - Date.UTC(2026, 0, 1)) / 1_000)).toEqual([2, WINDOW_MS / 1_000 + 1]);
});

test("workers that serve the same queues stand together, in the order in which people count", () => {
  const all = [worker({ name: "w-10" }), worker({ name: "w-9" }), worker({ name: "b", pools: ["main", "big"] }), worker({ name: "c", pools: ["big", "main"] })];
  expect(crews(all).map((crew) => [crew.pools, crew.workers.map(({ name }) => name)])).toEqual([
    [["big", "main"], ["b", "c"]],
    [["main"], ["w-9", "w-10"]],
  ]);
});

test("a silent worker is silent before it is anything else, and one that was asked to drain drains", () => {
  expect(healthOf(worker({ alive: false, draining: true }))).toBe("silent");
  expect(healthOf(worker({ drain_wanted: true }))).toBe("draining");
  expect(healthOf(worker())).toBe("well");
});

test("a line is still without traffic, and its pace grows in few steps", () => {
  expect([pace(0, false), pace(null, true), pace(0.2, false), pace(8, false), pace(900, true)]).toEqual([0, 1, 1, 2, 3]);
});

test("a slot in use is seen however many slots one square stands for", () => {
  expect(cellsOf(4, 2, 64)).toEqual({ count: 4, used: 2 });
  expect(cellsOf(250, 1, 64)).toEqual({ count: 63, used: 1 });
  expect(cellsOf(250, 250, 64)).toEqual({ count: 63, used: 63 });
  expect(cellsOf(0, 0, 64)).toEqual({ count: 0, used: 0 });
});

test("the plots reach no further back than there is something to see", () => {
  const reach = (seconds: number): number => windowOf([0, seconds].map((at) => heard(BLANK, overview(at), 0).samples[0] as Sample)) / 60_000;
  expect([0, 60, 61, 180, 300].map(reach)).toEqual([1, 1, 2, 5, 5]);
});

// ── the feed ──

let feed: Feed;
let reads: AbortSignal[];
let answer: () => Promise<Overview>;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  reads = [];
  answer = () => Promise.resolve(overview(Date.now() / 1_000));
  feed = createFeed({ read: (signal) => (reads.push(signal), answer()), now: Date.now, random: () => 1 });
});

afterEach(() => {
  feed.stop();
  vi.useRealTimers();
});

test("the overview is asked for once a second, one question at a time", async () => {
  feed.nudge();
  feed.nudge();
  await vi.advanceTimersByTimeAsync(0);
  expect(reads).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(3 * EVERY_MS);
  expect(reads).toHaveLength(4);
  expect(feed.store.getState()).toMatchObject({ link: "live", again: null });
});

test("while nobody answers it asks less and less often, and the last picture stays", async () => {
  feed.nudge();
  await vi.advanceTimersByTimeAsync(0);
  answer = () => Promise.reject(new ApiError(0, "unreachable", ""));
  await vi.advanceTimersByTimeAsync(EVERY_MS);
  expect(feed.store.getState()).toMatchObject({ link: "away", again: EVERY_MS + BACKOFF.base, heard: 0 });
  expect(feed.store.getState().overview?.workers).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(120_000);
  const before = reads.length;
  await vi.advanceTimersByTimeAsync(BACKOFF.cap);
  expect(reads.length - before).toBe(1);
  answer = () => Promise.resolve(overview(500));
  await vi.advanceTimersByTimeAsync(BACKOFF.cap);
  expect(feed.store.getState().link).toBe("live");
});

test("an answer that does not come is given up at its deadline", async () => {
  answer = () => new Promise((_, reject) => reads.at(-1)?.addEventListener("abort", () => reject(new ApiError(0, "unreachable", ""))));
  feed.nudge();
  await vi.advanceTimersByTimeAsync(DEADLINE_MS - 1);
  expect(feed.store.getState().link).toBe("asking");
  await vi.advanceTimersByTimeAsync(1);
  expect(feed.store.getState().link).toBe("away");
});

test("who is no administrator any more sees nothing that was known, and is not asked for again", async () => {
  feed.nudge();
  await vi.advanceTimersByTimeAsync(0);
  answer = () => Promise.reject(new ApiError(403, "not_allowed", ""));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(reads).toHaveLength(2);
  expect(feed.store.getState()).toMatchObject({ link: "refused", overview: null, samples: [] });
});

test("nothing is asked while nobody looks, and an answer that comes late changes nothing", async () => {
  let late: (value: Overview) => void = () => undefined;
  answer = () => new Promise((resolve) => (late = resolve));
  feed.nudge();
  feed.stop();
  late(overview());
  await vi.advanceTimersByTimeAsync(60_000);
  expect([reads.length, reads[0]?.aborted, feed.store.getState().overview]).toEqual([1, true, null]);
});

// ── the plots ──

const FRAME = { width: 300, height: 100, from: 0, to: 300_000, top: 10 };

test("a line breaks where nothing was measured and where nobody answered", () => {
  const points = [0, 1, 2, 3, 20, 21].map((second) => ({ at: second * 1_000, value: second === 2 ? null : 5 }));
  expect(linePath(points, FRAME)).toBe("M0 50L1 50M3 50M20 50L21 50");
  expect(areaPath(points.slice(0, 2), FRAME)).toBe("M0 50L1 50L1 100L0 100Z");
});

test("what is older than the window is not drawn, and what is higher than the top stays inside", () => {
  expect(linePath([{ at: -1, value: 1 }, { at: 0, value: 99 }], FRAME)).toBe("M0 0");
});

test("the top of a plot is a round number above all it shows", () => {
  expect([0, 0.03, 0.7, 1, 3.1, 12, 480].map(niceTop)).toEqual([1, 0.03, 0.8, 1, 4, 15, 500]);
});

test("the pointer finds the nearest moment, and none where there is a gap", () => {
  const points = [{ at: 0 }, { at: 1_000 }, { at: 60_000 }];
  expect([nearest(points, 900)?.at, nearest(points, 30_000), nearest([], 0)]).toEqual([1_000, null, null]);
});

// ── one run ──

function told(...moments: readonly [number, What, number?][]): Moment[] {
  return moments.map(([second, what, attempt]) => ({
    at: new Date(second * 1_000).toISOString(),
    what,
    attempt: attempt ?? null,
    worker: null,
    detail: null,
  }));
}

test("each moment says how long after the one before it came, and checkpoints in a row are one", () => {
  const timeline = told([0, "accepted"], [0.5, "claimed", 1], [1, "first_text", 1], [2, "checkpoint", 1], [3, "checkpoint", 1], [4, "ended"]);
  expect(entries(timeline).map(({ what, since, times }) => [what, since, times])).toEqual([
    ["accepted", null, 1],
    ["claimed", 0.5, 1],
    ["first_text", 0.5, 1],
    ["checkpoint", 2, 2],
    ["ended", 1, 1],
  ]);
});

test("the time of a run is split into its phases, and what a lost worker had begun is lost", () => {
  const timeline = told(
    [0, "accepted"],
    [1, "queued"],
    [3, "claimed", 1],
    [4, "first_text", 1],
    [5, "checkpoint", 1],
    [9, "taken_over", 2],
    [9, "claimed", 2],
    [10, "first_text", 2],
    [12, "ended", 2],
  );
  expect(spans(timeline, "").map(({ phase, seconds }) => [phase, seconds])).toEqual([
    ["waiting", 1],
    ["queue", 2],
    ["thinking", 1],
    ["lost", 5],
    ["writing", 3],
  ]);
});

test("what is still going on lasts until now", () => {
  expect(spans(told([0, "accepted"], [0, "queued"]), new Date(7_000).toISOString())).toEqual([{ phase: "queue", seconds: 7 }]);
});

test("a run can be stopped once, and not when it is over", () => {
  expect(canStop({ state: "queued", stop_requested: false })).toBe(true);
  expect(canStop({ state: "running", stop_requested: true })).toBe(false);
  expect(canStop({ state: "failed", stop_requested: false })).toBe(false);
});

// ── words and numbers ──

test("durations and numbers are short, and say so where nothing is known", () => {
  expect([0.0004, 0.24, 3.14159, 59.96, 125, 3_600, 12_000, 400_000].map((seconds) => duration(seconds, "en"))).toEqual(
    ["0 ms", "240 ms", "3.14 s", "1 min", "2 min 5 s", "1 h", "3 h 20 min", "4 d"],
  );
  expect([null, 0, 0.042, 1.25, 37.6].map((value) => figure(value, "pt-BR"))).toEqual(["–", "0", "0,04", "1,3", "38"]);
});

test("both languages say everything", () => {
  const shape = (value: object): unknown =>
    Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, typeof inner === "object" ? shape(inner as object) : typeof inner]));
  expect(shape(COCKPIT_WORDS.pt)).toEqual(shape(COCKPIT_WORDS.en));
});
