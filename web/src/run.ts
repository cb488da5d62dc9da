/**
 * What the page knows of one run: the twin of `core/relay.py`. Both pass `tests/relay_cases.json`.
 *
 * Live state is ordered by (attempt, seq). What is lower is dropped, what is adjacent is applied, anything else
 * is asked for again. `seq` counts code points, so it is carried along and never recounted from the text.
 */
import { ENDED } from "./protocol";
import type { Delta, Done, Failed, Finish, MessageView, Queued, RunState, Snapshot, Started, Usage, Uuid } from "./protocol";

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

export interface Run {
  readonly id: Uuid;
  readonly chat: Uuid;
  readonly reply: Uuid | null;
  readonly state: RunState;
  readonly attempt: number;
  readonly seq: number;
  readonly text: string;
  readonly model: string | null;
  /** The place in the queue, from 1; 0 where it is not known. */
  readonly position: number;
  /** Seconds until it starts: an estimate. */
  readonly eta: number | null;
  readonly finish: Finish | null;
  readonly usage: Usage | null;
  readonly failure: Failure | null;
  /** Text is missing and a `watch` for it is under way: more gaps ask nothing new. */
  readonly asked: boolean;
  /** Its user asked for its end. */
  readonly stopping: boolean;
}

export type RunEvent = Queued | Started | Delta | Snapshot | Done | Failed;

/** The run after an event, and whether its text must be asked for again. */
export type Heard = readonly [run: Run, ask: boolean];

export function newRun(id: Uuid, chat: Uuid, known: Partial<Run> = {}): Run {
  return {
    id,
    chat,
    reply: null,
    state: "queued",
    attempt: 0,
    seq: 0,
    text: "",
    model: null,
    position: 0,
    eta: null,
    finish: null,
    usage: null,
    failure: null,
    asked: false,
    stopping: false,
    ...known,
  };
}

export function ended(state: RunState): boolean {
  return (ENDED as readonly RunState[]).includes(state);
}

export function heard(run: Run, event: RunEvent): Heard {
  if (ended(run.state)) return [run, false];
  if (event.type === "queued") return [placed(run, event), false];
  if (event.attempt < run.attempt) return [run, false];
  switch (event.type) {
    case "started":
      return [started(run, event), false];
    case "delta":
      return grown(run, event);
    case "snapshot":
      return [replaced(run, event), false];
    case "done":
    case "failed":
      return over(run, event);
  }
}

/** Take over what the history says of an unfinished reply, where it is further than what was heard. */
export function readFrom(run: Run, reply: MessageView): Run {
  if (ended(run.state)) return run;
  const tied = run.reply === reply.id ? run : { ...run, reply: reply.id };
  const newer = reply.attempt > run.attempt || (reply.attempt === run.attempt && reply.seq > run.seq);
  if (!newer) return tied;
  return { ...tied, state: reply.state, attempt: reply.attempt, seq: reply.seq, text: reply.text, model: reply.model };
}

function placed(run: Run, event: Queued): Run {
  // A run that had started is back in its queue when its worker gave it back.
  const state = run.state === "running" ? "queued" : run.state;
  return { ...run, state, position: event.position, eta: event.eta ?? null };
}

function started(run: Run, event: Started): Run {
  const running: Run = { ...run, state: "running", model: event.model, position: 0, eta: null };
  // A later attempt may go on from saved text: it begins with the snapshot behind this event.
  if (event.attempt > 1 && event.attempt > run.attempt) return running;
  return { ...running, attempt: event.attempt };
}

function grown(run: Run, event: Delta): Heard {
  const held = event.attempt === run.attempt ? run.seq : 0;
  if (event.from > held + 1) return ask(run);
  if (event.attempt === run.attempt && event.seq <= held) return [run, false];
  const fresh = event.from === held + 1 ? event.text : [...event.text].slice(held + 1 - event.from).join("");
  const text = held === 0 ? fresh : run.text + fresh;
  return [{ ...run, state: "running", attempt: event.attempt, seq: event.seq, text, position: 0, eta: null }, false];
}

function replaced(run: Run, event: Snapshot): Run {
  // A snapshot of a run that is over is the last word, even where it is shorter.
  const last = ended(event.state);
  if (event.attempt === run.attempt && event.seq < run.seq && !last) return run;
  const state = last ? "running" : event.state;
  return { ...run, state, attempt: event.attempt, seq: event.seq, text: event.text };
}

function over(run: Run, event: Done | Failed): Heard {
  if (event.attempt !== run.attempt || event.seq !== run.seq) return ask(run);
  const closed: Run = { ...run, reply: event.reply, position: 0, eta: null, asked: false, stopping: false };
  if (event.type === "failed") {
    const failure = { code: event.code, message: event.message, retryable: event.retryable };
    return [{ ...closed, state: "failed", failure }, false];
  }
  const state = event.finish === "stopped" ? "stopped" : "done";
  return [{ ...closed, state, finish: event.finish, usage: event.usage }, false];
}

function ask(run: Run): Heard {
  return run.asked ? [run, false] : [{ ...run, asked: true }, true];
}
