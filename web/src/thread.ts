/** A chat's messages: a tree, of which the page shows one branch. */
import { ended, newRun, readFrom } from "./run";
import type { Run } from "./run";
import type { MessageView, Uuid } from "./protocol";

/** What the user asked for and the gateway has not acknowledged yet. It is sent again until it has. */
export interface Pending {
  readonly id: Uuid;
  readonly kind: "send" | "regenerate";
  readonly chat: Uuid;
  readonly text: string;
  /** Send: the reply it follows; the chat's own id for none (a first question in other words); null for the newest. */
  readonly parent: Uuid | null;
  /** Regenerate: the reply to write again. */
  readonly reply: Uuid | null;
  readonly model: string | null;
  readonly at: string;
  /** It may have reached the gateway. */
  readonly sent: boolean;
  /** Its user wants it back: stop it as soon as it is accepted. */
  readonly withdrawn: boolean;
  /** Set where the gateway refused it. */
  readonly refusal: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
}

export interface Thread {
  readonly chat: Uuid;
  /** `new`: the gateway does not know it yet. */
  readonly status: "new" | "loading" | "ready" | "missing" | "failed";
  readonly messages: Readonly<Record<Uuid, MessageView>>;
  /** The cursor of the page of older messages. */
  readonly previous: string | null;
  /** The branch that the user chose below a parent; elsewhere the newest is shown. */
  readonly chosen: Readonly<Record<string, Uuid>>;
  /** The history is being read; `stale` where it changed since. */
  readonly reading: boolean;
  readonly stale: boolean;
}

const ROOT = "root";

export function newThread(chat: Uuid, status: Thread["status"]): Thread {
  return { chat, status, messages: {}, previous: null, chosen: {}, reading: false, stale: false };
}

/** One line of the conversation: a message with those that stand for the same turn. */
export interface Line {
  readonly message: MessageView;
  readonly siblings: readonly Uuid[];
}

/** The branch to show, with the messages that still wait to be acknowledged at their places. */
export function branch(thread: Thread, pending: readonly Pending[]): Line[] {
  const messages = withPending(thread, pending);
  const newest = messages.at(-1);
  if (newest === undefined) return [];
  const byId = new Map(messages.map((message) => [message.id, message]));
  const trunk = ancestry(byId, newest);
  const below = byParent(messages);
  const lines: Line[] = [];
  const onTrunk = new Set(trunk);
  let turns = below.get(trunk[0]?.parent ?? ROOT);
  while (turns !== undefined) {
    const shown = pick(turns, thread.chosen, onTrunk);
    lines.push({ message: shown, siblings: turns.map((turn) => turn.id) });
    turns = below.get(shown.id);
  }
  return lines;
}

/** The reply that a new question without a parent follows: the newest. */
export function newestReply(thread: Thread): MessageView | undefined {
  return ordered(thread).findLast((message) => message.role === "assistant");
}

/** Show the newest below a parent again: something new is on its way there. */
export function unchosen(thread: Thread, parent: Uuid | null): Thread {
  const { [parent ?? ROOT]: _, ...chosen } = thread.chosen;
  return { ...thread, chosen };
}

export function chose(thread: Thread, message: MessageView): Thread {
  return { ...thread, chosen: { ...thread.chosen, [message.parent ?? ROOT]: message.id } };
}

export function withMessages(thread: Thread, messages: readonly MessageView[]): Thread {
  const added = Object.fromEntries(messages.map((message) => [message.id, message]));
  return { ...thread, messages: { ...thread.messages, ...added } };
}

/** A message of the history beside what was heard of its run: the end that either of them knows wins. */
export function reconciled(message: MessageView, run: Run | undefined): [MessageView, Run | undefined] {
  if (message.role !== "assistant" || message.run === null) return [message, undefined];
  if (ended(message.state)) return [message, run && closedBy(run, message)];
  const known = run ?? newRun(message.run, message.chat, { reply: message.id, state: message.state, model: message.model });
  const merged = readFrom(known, message);
  return [ended(merged.state) ? folded(message, merged) : message, merged];
}

/** The reply as it is stored once its run is over. */
export function folded(message: MessageView, run: Run): MessageView {
  return {
    ...message,
    text: run.text,
    state: run.state,
    attempt: run.attempt,
    seq: run.seq,
    model: run.model ?? message.model,
    finish: run.finish,
    usage: run.usage,
    code: run.failure?.code ?? null,
    error: run.failure?.message ?? null,
    retryable: run.failure?.retryable ?? null,
  };
}

function closedBy(run: Run, message: MessageView): Run {
  if (ended(run.state)) return run;
  const { state, attempt, seq, text, finish, usage } = message;
  return { ...run, state, attempt, seq, text, finish, usage, asked: false, stopping: false, position: 0, eta: null };
}

function withPending(thread: Thread, pending: readonly Pending[]): MessageView[] {
  const messages = ordered(thread);
  for (const one of pending) {
    if (one.chat !== thread.chat || one.id in thread.messages) continue;
    const shown = one.kind === "send" ? question(one, messages) : emptyReply(one, thread);
    if (shown) messages.push(shown);
  }
  return messages;
}

function question(pending: Pending, before: readonly MessageView[]): MessageView {
  return { ...blank(pending), role: "user", text: pending.text, state: "done", parent: follows(pending, before.at(-1)) };
}

/** The message that a question stands below; null for the root. */
export function follows({ chat, parent }: Pick<Pending, "chat" | "parent">, newest?: MessageView): Uuid | null {
  return parent === chat ? null : (parent ?? newest?.id ?? null);
}

function emptyReply(pending: Pending, thread: Thread): MessageView | null {
  const sibling = pending.reply === null ? undefined : thread.messages[pending.reply];
  return sibling ? { ...blank(pending), role: "assistant", state: "queued", parent: sibling.parent } : null;
}

type Blank = Omit<MessageView, "role" | "state" | "parent">;

function blank({ id, chat, at, model }: Pick<Pending, "id" | "chat" | "at" | "model">): Blank {
  const none = { run: null, finish: null, usage: null, code: null, error: null, retryable: null };
  return { id, chat, text: "", ordinal: Number.MAX_SAFE_INTEGER, created_at: at, attempt: 0, seq: 0, model, ...none };
}

/** What `accepted` stored: the question and its reply, as far as the page can know before it reads them. */
export function acceptedMessages(thread: Thread, pending: Pending, given: { run: Uuid; reply: Uuid; ordinal: number }): MessageView[] {
  const { run, ordinal } = given;
  const parent = pending.kind === "send" ? pending.id : (pending.reply && thread.messages[pending.reply]?.parent) || null;
  const reply: MessageView = { ...blank(pending), id: given.reply, role: "assistant", state: "queued", run, ordinal, parent };
  if (pending.kind === "regenerate") return [reply];
  const above = follows(pending, newestReply(thread));
  return [{ ...blank(pending), role: "user", text: pending.text, state: "done", ordinal, parent: above }, reply];
}

function ordered(thread: Thread): MessageView[] {
  return Object.values(thread.messages).sort((a, b) => a.ordinal - b.ordinal || rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
}

function rank(message: MessageView): number {
  return message.role === "user" ? 0 : 1;
}

function byParent(messages: readonly MessageView[]): Map<string, MessageView[]> {
  const groups = new Map<string, MessageView[]>();
  for (const message of messages) {
    const key = message.parent ?? ROOT;
    const group = groups.get(key);
    if (group) group.push(message);
    else groups.set(key, [message]);
  }
  return groups;
}

/** The messages from the oldest known ancestor down to one. */
function ancestry(byId: ReadonlyMap<Uuid, MessageView>, from: MessageView): MessageView[] {
  const seen = new Set<MessageView>();
  let step: MessageView | undefined = from;
  while (step !== undefined && !seen.has(step)) {
    seen.add(step);
    step = step.parent === null ? undefined : byId.get(step.parent);
  }
  return [...seen].reverse();
}

function pick(turns: MessageView[], chosen: Thread["chosen"], trunk: ReadonlySet<MessageView>): MessageView {
  const wish = chosen[turns[0]?.parent ?? ROOT];
  const found = turns.find((turn) => turn.id === wish) ?? turns.find((turn) => trunk.has(turn)) ?? turns.at(-1);
  return found as MessageView;
}
