import { useEffect, useReducer, useRef, useState } from "react";
import { ApiError } from "../../api";

export interface Asked<T> {
  /** The newest answer to this very question; kept while it is asked again. */
  readonly value: T | null;
  readonly problem: ApiError | null;
  readonly busy: boolean;
  readonly again: () => void;
}

interface Held<T> {
  readonly key: string;
  readonly value: T | null;
  readonly problem: ApiError | null;
}

/** Asks when `key` changes, when told, and every so many milliseconds behind an answer (null: not by itself). */
export function useAsked<T>(key: string, ask: () => Promise<T>, every: (value: T | null) => number | null): Asked<T> {
  const [held, hold] = useState<Held<T>>({ key: "", value: null, problem: null });
  const [busy, setBusy] = useState(true);
  const [round, again] = useReducer((count: number) => count + 1, 0);
  const latest = useRef(ask);
  latest.current = ask;
  useEffect(() => {
    let wanted = true;
    setBusy(true);
    void settled(latest.current).then(({ value, problem }) => {
      if (!wanted) return;
      setBusy(false);
      hold((before) => ({ key, problem, value: value ?? (before.key === key ? before.value : null) }));
    });
    return () => {
      wanted = false;
    };
  }, [key, round]);
  const mine = held.key === key ? held : { value: null, problem: null };
  const pause = busy ? null : every(mine.value);
  useEffect(() => {
    if (pause === null) return;
    const timer = setTimeout(again, pause);
    return () => clearTimeout(timer);
  }, [pause, held]);
  return { value: mine.value, problem: mine.problem, busy, again };
}

async function settled<T>(ask: () => Promise<T>): Promise<{ value: T | null; problem: ApiError | null }> {
  try {
    return { value: await ask(), problem: null };
  } catch (error) {
    return { value: null, problem: problemOf(error) };
  }
}

export function problemOf(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, "internal", String(error));
}
