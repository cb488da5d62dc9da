/** Asks for the overview once a second while somebody looks, and less often while nobody answers. No React. */
import { createStore } from "zustand/vanilla";
import { ApiError } from "../../api";
import { BLANK, failed, heard, refused } from "./picture";
import type { StoreApi } from "zustand/vanilla";
import type { Overview } from "../../admin";
import type { Picture } from "./picture";

export interface FeedOptions {
  readonly read: (signal: AbortSignal) => Promise<Overview>;
  readonly now: () => number;
  /** A number from 0 to 1, for jitter. */
  readonly random: () => number;
}

export interface Feed {
  readonly store: StoreApi<Picture>;
  /** Somebody looks, looks again, or wants to know now. */
  nudge(): void;
  /** Nobody looks. */
  stop(): void;
}

export const EVERY_MS = 1_000;
export const DEADLINE_MS = 4_000;
export const BACKOFF = { base: 1_000, cap: 15_000 } as const;

export function createFeed({ read, now, random }: FeedOptions): Feed {
  const store = createStore<Picture>(() => BLANK);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asking: AbortController | null = null;
  let failures = 0;

  /** One question at a time. What comes behind `stop` changes nothing. */
  async function ask(): Promise<void> {
    clearTimeout(timer);
    const own = new AbortController();
    asking = own;
    const begun = now();
    const deadline = setTimeout(() => own.abort(), DEADLINE_MS);
    try {
      const overview = await read(own.signal);
      if (asking === own) answered(overview, begun);
    } catch (error) {
      if (asking === own) unanswered(error);
    } finally {
      clearTimeout(deadline);
      if (asking === own) asking = null;
    }
  }

  function answered(overview: Overview, begun: number): void {
    failures = 0;
    store.setState((picture) => heard(picture, overview, now()), true);
    plan(Math.max(0, EVERY_MS - (now() - begun)));
  }

  function unanswered(error: unknown): void {
    if (error instanceof ApiError && error.status === 403) return store.setState(refused, true);
    const most = Math.min(BACKOFF.cap, BACKOFF.base * 2 ** failures++);
    const wait = most * (0.75 + random() / 4);
    store.setState((picture) => failed(picture, now() + wait), true);
    plan(wait);
  }

  function plan(milliseconds: number): void {
    timer = setTimeout(() => void ask(), milliseconds);
  }

  function stop(): void {
    clearTimeout(timer);
    asking?.abort();
    asking = null;
  }

  return {
    store,
    nudge: () => {
      if (asking === null && store.getState().link !== "refused") void ask();
    },
    stop,
  };
}
