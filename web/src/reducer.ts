/**
 * The page's state and everything that changes it: (state, input) → (state, effects). Pure.
 *
 * Inputs are what the gateway says, what was read over HTTP, and what the user wants. An effect is a frame to
 * transmit or something to read; the store carries it out.
 */
import { CLOSE } from "./client";
import { bumped, removed, touched, withPage } from "./listing";
import { ended, heard, newRun } from "./run";
import { INITIAL, THREADS_KEPT } from "./state";
import { acceptedMessages, chose, folded, follows, newThread, reconciled, unchosen, withMessages } from "./thread";
import type { History } from "./api";
import type { Link } from "./client";
import type { Accepted, ClientMessage, Hello, MessageView, Refusal, ServerMessage, Uuid, Watching } from "./protocol";
import type { Run, RunEvent } from "./run";
import type { Effect, Input, State, Step } from "./state";
import type { Pending, Thread } from "./thread";

export function reduce(state: State, input: Input): Step {
  switch (input.type) {
    case "heard":
      return hear(state, input.message);
    case "linked":
      return [linked(state, input.link, input.code), []];
    case "signedIn":
      return [{ ...INITIAL, session: "in", user: input.user, open: state.open, pending: input.pending }, []];
    case "signedOut":
      return [{ ...INITIAL, session: "out", open: state.open }, []];
    case "opened":
      return opened(state, input.chat);
    case "listed":
      return [{ ...state, listing: withPage(state.listing, input.page, input.more) }, []];
    case "read":
      return read(state, input.history, input.older);
    case "unread":
      return unread(state, input.chat, input.missing);
    case "reopened":
      return reopened(state, input.chat);
    case "wrote":
      return wrote(state, input.pending);
    case "retried":
      return retried(state, input.id);
    case "discarded":
      return discarded(state, input.id);
    case "stopped":
      return stopped(state, input.run);
    case "chose":
      return [inThread(state, input.message.chat, (thread) => chose(thread, input.message)), []];
    case "renamed":
      return [{ ...state, listing: touched(state.listing, input.chat) }, []];
    case "deleted":
      return [forgotten(state, input.chat), []];
    case "noticed":
      return [{ ...state, notice: input.notice }, []];
  }
}

/** What to say behind a `hello`, in order: follow the open chat, send again what has no answer, stop what shall end. */
export function resume(state: State): ClientMessage[] {
  const runs = Object.values(state.runs);
  const stops = runs.filter((run) => run.stopping && !ended(run.state));
  return [
    ...watch(state, state.open),
    ...state.pending.filter((one) => one.refusal === null).map(frameOf),
    ...stops.map((run): ClientMessage => ({ type: "stop", run: run.id })),
  ];
}

/** Whether the open chat has an answer that is not over. */
export function awaiting(state: State): boolean {
  return Object.values(state.runs).some((run) => run.chat === state.open && !ended(run.state));
}

/** The `watch` of a chat that the gateway knows, or nothing. */
export function watch(state: State, chat: Uuid | null): ClientMessage[] {
  const status = chat === null ? undefined : state.threads[chat]?.status;
  if (chat === null || status === undefined || status === "new" || status === "missing") return [];
  const held = Object.values(state.runs).filter((run) => run.chat === chat && !ended(run.state));
  return [{ type: "watch", chat, runs: held.map((run) => run.id) }];
}

// ── what the gateway says ────────────────────────────────────────────────────────────────────────────────────────

function hear(state: State, message: ServerMessage): Step {
  switch (message.type) {
    case "hello":
      return greeted(state, message);
    case "accepted":
      return accepted(state, message);
    case "queued":
    case "started":
    case "delta":
    case "snapshot":
    case "done":
    case "failed":
      return ran(state, message);
    case "watching":
      return watching(state, message);
    case "message":
      return added(state, message.message);
    case "chat":
      if (message.change === "deleted") return [forgotten(state, message.chat.id), []];
      return [{ ...state, listing: touched(state.listing, message.chat) }, []];
    case "error":
      return [refused(state, message), []];
    default:
      // A newer gateway may say more than this page knows.
      return [state, []];
  }
}

function greeted(before: State, hello: Hello): Step {
  const state = before.user?.id === hello.user.id ? before : strangers(before);
  const pending = state.pending.map((one) => (one.refusal === null ? { ...one, sent: true } : one));
  const runs = mapped(state.runs, (run) => (run.asked ? { ...run, asked: false } : run));
  const next: State = { ...state, session: "in", user: hello.user, models: hello.models ?? [], pending, runs };
  const known = state.open !== null && watch(state, state.open).length > 0;
  const step: Step = known && state.open !== null ? reading(next, state.open) : [next, []];
  return [step[0], [...step[1], { do: "list" }]];
}

/** Somebody else signed in, in another tab: nothing of the last user stays on the page. */
function strangers(state: State): State {
  return state.user === null ? state : { ...INITIAL, link: state.link };
}

function accepted(state: State, event: Accepted): Step {
  const pending = state.pending.find((one) => one.id === event.id);
  const before = state.threads[event.chat] ?? newThread(event.chat, "loading");
  const fresh = pending ? acceptedMessages(before, pending, event).filter((one) => !(one.id in before.messages)) : [];
  const status = before.status === "new" || before.status === "missing" ? "ready" : before.status;
  const run = state.runs[event.run] ?? acceptedRun(event);
  const effects: Effect[] = pending?.withdrawn ? [{ do: "transmit", frame: { type: "stop", run: event.run } }] : [];
  const known = state.listing.items.some((chat) => chat.id === event.chat);
  if (!known) effects.push({ do: "list" });
  const next: State = {
    ...state,
    listing: pending ? bumped(state.listing, event.chat, pending.at) : state.listing,
    pending: state.pending.filter((one) => one.id !== event.id),
    threads: { ...state.threads, [event.chat]: { ...withMessages(before, fresh), status, stale: before.reading } },
    runs: { ...state.runs, [event.run]: pending?.withdrawn ? { ...run, stopping: true } : run },
  };
  // Somebody else's tab sent it, or this one before a reload: only the history knows the text.
  if (!pending && !(event.reply in before.messages)) return also(reading(next, event.chat), effects);
  return [next, effects];
}

function acceptedRun(event: Accepted): Run {
  // A repeated request of a run that is over: its snapshot and its end are on their way.
  const state = ended(event.state) ? "running" : event.state;
  return newRun(event.run, event.chat, { reply: event.reply, state, position: event.position });
}

function ran(state: State, event: RunEvent): Step {
  const known = state.runs[event.run] ?? unheardOf(state, event);
  if (known === undefined) return [state, []];
  const [run, ask] = heard(known, event);
  if (run === known && !ask) return [state, []];
  const next = { ...state, runs: { ...state.runs, [run.id]: run } };
  if (ask) return [next, watch(next, run.chat).map((frame): Effect => ({ do: "transmit", frame }))];
  if (ended(run.state)) return settled(next, run);
  const untied = run.reply === null && event.type !== "delta";
  return untied ? reading(next, run.chat) : [next, []];
}

/** A run that another tab asked for: it is followed from its start or a snapshot on; the history ties it to its reply. */
function unheardOf(state: State, event: RunEvent): Run | undefined {
  return "chat" in event && event.chat in state.threads ? newRun(event.run, event.chat) : undefined;
}

/** The run is over: its reply becomes an ordinary message. */
function settled(state: State, run: Run): Step {
  const thread = state.threads[run.chat];
  const reply = run.reply === null ? undefined : thread?.messages[run.reply];
  if (thread === undefined) return [{ ...state, runs: filtered(state.runs, (one) => one.id !== run.id) }, []];
  if (reply === undefined) return reading(state, run.chat);
  return [inThread(state, run.chat, () => withMessages(thread, [folded(reply, run)])), []];
}

function watching(state: State, event: Watching): Step {
  const mine = (run: Run): boolean => run.chat === event.chat && !ended(run.state);
  const lost = Object.values(state.runs).some((run) => mine(run) && !event.runs.includes(run.id));
  const runs = mapped(state.runs, (run) => (mine(run) && run.asked ? { ...run, asked: false } : run));
  const next = { ...state, runs };
  // A run that we hold as unfinished and the gateway does not: the history has the last word.
  return lost ? reading(next, event.chat) : [next, []];
}

function added(before: State, message: MessageView): Step {
  const state = { ...before, listing: bumped(before.listing, message.chat, message.created_at) };
  const thread = state.threads[message.chat];
  if (thread === undefined) return [state, []];
  const next = merged(state, thread, [message]);
  const mine = state.pending.some((one) => one.id === message.id);
  const replied = Object.values(thread.messages).some((one) => one.parent === message.id);
  // Only the history knows the reply that another tab's question waits for.
  return message.role === "user" && !mine && !replied ? reading(next, message.chat) : [next, []];
}

function refused(state: State, event: Refusal): State {
  const { code, message, id } = event;
  if (!id || !state.pending.some((one) => one.id === id)) {
    // What is gone (a chat deleted elsewhere, a run that is over) is told by its own events.
    return code === "not_found" ? state : { ...state, notice: { code, message } };
  }
  const refusal = { code, message, retryable: event.retryable ?? false };
  return { ...state, pending: state.pending.map((one) => (one.id === id ? { ...one, refusal } : one)) };
}

function linked(state: State, link: Link, code: number | null): State {
  if (code !== CLOSE.tooBig) return { ...state, link };
  // What was under way was too big for the gateway; sending it again would close every connection.
  const refusal = { code: "text_too_long", message: "", retryable: false };
  const pending = state.pending.map((one) => (one.sent && one.refusal === null ? { ...one, refusal } : one));
  return { ...state, link, pending };
}

// ── what was read ────────────────────────────────────────────────────────────────────────────────────────────────

function read(state: State, history: History, older: boolean): Step {
  const thread = state.threads[history.id];
  if (thread === undefined) return [state, []];
  const next = merged(state, thread, history.messages);
  const first = Object.keys(thread.messages).length === 0;
  const previous = older || first ? history.previous : thread.previous;
  const again = thread.stale && !older;
  const settledThread = inThread(next, history.id, (one) => ({
    ...one,
    status: "ready",
    previous,
    reading: older ? one.reading : false,
    stale: older ? one.stale : false,
  }));
  return again ? reading(settledThread, history.id) : [settledThread, []];
}

function unread(state: State, chat: Uuid, missing: boolean): Step {
  const thread = state.threads[chat];
  if (thread === undefined) return [state, []];
  const idle = inThread(state, chat, (one) => ({ ...one, reading: false, stale: false }));
  // It was asked for before it was there: a message created it in the meantime.
  if (missing && thread.stale) return reading(idle, chat);
  if (!missing && thread.status === "ready") return [idle, []];
  const unsent = state.pending.some((one) => one.chat === chat);
  const status = missing ? (unsent ? "new" : "missing") : "failed";
  return [inThread(idle, chat, (one) => ({ ...one, status })), []];
}

function merged(state: State, thread: Thread, messages: readonly MessageView[]): State {
  const runs = { ...state.runs };
  const settledMessages = messages.map((message) => {
    const [kept, run] = reconciled(message, message.run === null ? undefined : runs[message.run]);
    if (run) runs[run.id] = run;
    return kept;
  });
  return { ...state, runs, threads: { ...state.threads, [thread.chat]: withMessages(thread, settledMessages) } };
}

// ── what the user wants ──────────────────────────────────────────────────────────────────────────────────────────

function opened(state: State, chat: Uuid | null): Step {
  if (chat === state.open && (chat === null || chat in state.threads)) return [state, []];
  const left = state.open !== null && state.open !== chat ? state.open : null;
  const effects: Effect[] = left === null ? [] : [{ do: "transmit", frame: { type: "unwatch", chat: left } }];
  if (chat === null) return [{ ...state, open: null }, effects];
  // First watch, then read: between the two nothing is missed, and what comes twice is dropped.
  const next = kept({ ...state, open: chat, threads: { ...state.threads, [chat]: state.threads[chat] ?? newThread(chat, "loading") } });
  const follow = watch(next, chat).map((frame): Effect => ({ do: "transmit", frame }));
  const step: Step = next.threads[chat]?.status === "new" ? [next, []] : reading(next, chat);
  return [step[0], [...effects, ...follow, ...step[1]]];
}

function reopened(state: State, chat: Uuid): Step {
  const follow = watch(state, chat).map((frame): Effect => ({ do: "transmit", frame }));
  const [next, effects] = reading(state, chat);
  return [next, [...follow, ...effects]];
}

function wrote(state: State, pending: Pending): Step {
  const sent = state.link === "live";
  const thread = state.threads[pending.chat] ?? newThread(pending.chat, "new");
  const below = pending.kind === "send" ? follows(pending) : (pending.reply && thread.messages[pending.reply]?.parent) || null;
  const next: State = {
    ...state,
    open: pending.chat,
    pending: [...state.pending, { ...pending, sent }],
    threads: { ...state.threads, [pending.chat]: unchosen(thread, below) },
  };
  return [next, [{ do: "transmit", frame: frameOf(pending) }]];
}

function retried(state: State, id: Uuid): Step {
  const found = state.pending.find((one) => one.id === id);
  if (!found) return [state, []];
  const again = { ...found, refusal: null, sent: state.link === "live", withdrawn: false };
  const pending = state.pending.map((one) => (one.id === id ? again : one));
  return [{ ...state, pending }, [{ do: "transmit", frame: frameOf(again) }]];
}

/** Take back a message that is not accepted: at once where it never left, else as soon as it is accepted. */
function discarded(state: State, id: Uuid): Step {
  const found = state.pending.find((one) => one.id === id);
  if (found?.sent && found.refusal === null) {
    return [{ ...state, pending: state.pending.map((one) => (one.id === id ? { ...one, withdrawn: true } : one)) }, []];
  }
  return [{ ...state, pending: state.pending.filter((one) => one.id !== id) }, []];
}

function stopped(state: State, id: Uuid): Step {
  const run = state.runs[id];
  if (run === undefined || ended(run.state)) return [state, []];
  const runs = { ...state.runs, [id]: { ...run, stopping: true } };
  return [{ ...state, runs }, [{ do: "transmit", frame: { type: "stop", run: id } }]];
}

function forgotten(state: State, chat: Uuid): State {
  const { [chat]: _, ...threads } = state.threads;
  return {
    ...state,
    listing: removed(state.listing, chat),
    threads,
    runs: filtered(state.runs, (run) => run.chat !== chat),
    pending: state.pending.filter((one) => one.chat !== chat),
    open: state.open === chat ? null : state.open,
  };
}

// ── small steps ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Read a chat's history, once at a time. */
function reading(state: State, chat: Uuid): Step {
  const thread = state.threads[chat];
  if (thread === undefined || thread.status === "new") return [state, []];
  if (thread.reading) return [inThread(state, chat, (one) => ({ ...one, stale: true })), []];
  return [inThread(state, chat, (one) => ({ ...one, reading: true })), [{ do: "read", chat }]];
}

function inThread(state: State, chat: Uuid, change: (thread: Thread) => Thread): State {
  const thread = state.threads[chat];
  return thread ? { ...state, threads: { ...state.threads, [chat]: change(thread) } } : state;
}

/** Forget the messages of the chats that were opened longest ago (L8); the open one is the newest. */
function kept(state: State): State {
  const { [state.open ?? ""]: current, ...others } = state.threads;
  const order = [...Object.entries(others), ...(current ? [[current.chat, current] as const] : [])];
  const threads = Object.fromEntries(order.slice(-THREADS_KEPT));
  const runs = filtered(state.runs, (run) => run.chat in threads || !ended(run.state));
  return { ...state, threads, runs };
}

function frameOf(pending: Pending): ClientMessage {
  const model = pending.model === null ? {} : { model: pending.model };
  if (pending.kind === "regenerate") return { type: "regenerate", id: pending.id, reply: pending.reply ?? "", ...model };
  const parent = pending.parent === null ? {} : { parent: pending.parent };
  return { type: "send", id: pending.id, chat: pending.chat, text: pending.text, ...parent, ...model };
}

function also([state, effects]: Step, more: readonly Effect[]): Step {
  return [state, [...effects, ...more]];
}

function mapped<T>(record: Readonly<Record<string, T>>, change: (value: T) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

function filtered<T>(record: Readonly<Record<string, T>>, keep: (value: T) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => keep(value)));
}
