import { beforeEach, expect, test } from "vitest";
import { reduce, resume } from "../src/reducer";
import { INITIAL, THREADS_KEPT } from "../src/state";
import { branch } from "../src/thread";
import { ANA, AT, chat, question, reply } from "./fixtures";
import type { History } from "../src/api";
import type { Done, MessageView, ServerMessage } from "../src/protocol";
import type { Effect, Input, State } from "../src/state";
import type { Pending } from "../src/thread";

let state: State;
let effects: Effect[];

beforeEach(() => {
  [state, effects] = [INITIAL, []];
});

function apply(...inputs: Input[]): void {
  for (const input of inputs) {
    const [next, wanted] = reduce(state, input);
    state = next;
    effects.push(...wanted);
  }
}

const says = (...messages: ServerMessage[]): void => apply(...messages.map((message): Input => ({ type: "heard", message })));

function taken(): Effect[] {
  return effects.splice(0);
}

const hello: ServerMessage = { type: "hello", user: ANA, gateway: "gw-1", models: ["local"] };
const usage = { prompt_tokens: 1, completion_tokens: 2 };
const done: Done = { type: "done", run: "r", chat: "c", reply: "a", attempt: 1, seq: 5, finish: "stop", usage };
const delta = (from: number, text: string): ServerMessage => {
  return { type: "delta", run: "r", attempt: 1, from, seq: from + text.length - 1, text };
};

function pending(given: Partial<Pending> = {}): Pending {
  const none = { parent: null, reply: null, model: null, refusal: null };
  return { id: "q", kind: "send", chat: "c", text: "Why?", at: AT, sent: false, withdrawn: false, ...none, ...given };
}

function history(messages: MessageView[], given: Partial<History> = {}): Input {
  return { type: "read", older: false, history: { id: "c", title: "c", status: "ACTIVE", messages, runs: [], previous: null, ...given } };
}

const online = (): void => apply({ type: "signedIn", user: ANA, pending: [] }, { type: "linked", link: "live", code: null });
const accept = (): void => says({ type: "accepted", id: "q", chat: "c", run: "r", reply: "a", state: "queued", ordinal: 1, position: 1 });
const asked = (): void => {
  online();
  apply({ type: "wrote", pending: pending() });
  accept();
  taken();
};

function shown(): [role: string, text: string][] {
  const thread = state.threads.c;
  const lines = thread ? branch(thread, state.pending) : [];
  return lines.map(({ message }) => [message.role, (message.run && state.runs[message.run]?.text) || message.text]);
}

test("a message is shown at once, sent, accepted, and answered into one bubble", () => {
  online();
  apply({ type: "wrote", pending: pending() });
  expect(taken()).toEqual([{ do: "transmit", frame: { type: "send", id: "q", chat: "c", text: "Why?" } }]);
  expect(shown()).toEqual([["user", "Why?"]]);
  accept();
  says({ type: "started", run: "r", chat: "c", attempt: 1, model: "local" }, delta(1, "Bec"), delta(4, "au"));
  expect(state.pending).toEqual([]);
  expect(shown()).toEqual([["user", "Why?"], ["assistant", "Becau"]]);
  says(done);
  expect(state.threads.c?.messages.a).toMatchObject({ text: "Becau", state: "done", finish: "stop", usage, model: "local" });
});

test("a delta changes its run and nothing that the list of messages reads", () => {
  asked();
  const before = state;
  says(delta(1, "B"));
  expect(state.runs).not.toBe(before.runs);
  expect(state.threads).toBe(before.threads);
  expect(state.pending).toBe(before.pending);
  expect(state.listing).toBe(before.listing);
});

test("what was written offline is sent when it is live again, in order and once acknowledged no more", () => {
  apply({ type: "signedIn", user: ANA, pending: [] }, { type: "linked", link: "offline", code: 1006 });
  apply({ type: "wrote", pending: pending() }, { type: "wrote", pending: pending({ id: "q2", text: "And?" }) });
  says(hello);
  expect(resume(state).map((frame) => "id" in frame && frame.id)).toEqual(["q", "q2"]);
  accept();
  expect(resume(state).map((frame) => "id" in frame && frame.id)).toEqual([false, "q2"]);
});

test("on reconnect it watches the open chat with the runs it holds, then sends, then stops", () => {
  asked();
  apply({ type: "stopped", run: "r" }, { type: "wrote", pending: pending({ id: "q2" }) });
  expect(resume(state)).toEqual([
    { type: "watch", chat: "c", runs: ["r"] },
    { type: "send", id: "q2", chat: "c", text: "Why?" },
    { type: "stop", run: "r" },
  ]);
});

test("behind hello the open chat and the list are read again", () => {
  asked();
  says(hello);
  expect(taken()).toEqual([{ do: "read", chat: "c" }, { do: "list" }]);
});

test("a chat that the gateway does not know yet is not watched", () => {
  online();
  apply({ type: "wrote", pending: pending() });
  expect(resume(state).map((frame) => frame.type)).toEqual(["send"]);
});

test("a gap asks once to watch again, with the runs held, and heals", () => {
  asked();
  says(delta(1, "Be"), delta(5, "u"), delta(6, "s"));
  expect(taken()).toEqual([{ do: "transmit", frame: { type: "watch", chat: "c", runs: ["r"] } }]);
  says({ type: "snapshot", run: "r", chat: "c", attempt: 1, seq: 6, state: "running", text: "Becaus" });
  says({ type: "watching", chat: "c", runs: ["r"] }, delta(7, "e"), delta(9, "?"));
  expect(state.runs.r?.text).toBe("Because");
  expect(taken()).toHaveLength(1);
});

test("a run that is over for the gateway but not for us is read from the history", () => {
  asked();
  says({ type: "watching", chat: "c", runs: [] });
  expect(taken()).toEqual([{ do: "read", chat: "c" }]);
  apply(history([question(), reply({ state: "stopped", attempt: 1, seq: 2, text: "Be" })]));
  expect(state.runs.r?.state).toBe("stopped");
  expect(shown()).toEqual([["user", "Why?"], ["assistant", "Be"]]);
});

test("a reload in mid-answer merges the history with what was heard since: nothing missing, nothing twice", () => {
  online();
  apply({ type: "opened", chat: "c" });
  expect(taken().map((effect) => (effect.do === "transmit" ? effect.frame.type : effect.do))).toEqual(["watch", "read"]);
  says({ type: "snapshot", run: "r", chat: "c", attempt: 1, seq: 6, state: "running", text: "Becaus" }, delta(7, "e"));
  apply(history([question(), reply({ attempt: 1, seq: 3, text: "Bec" })]));
  expect(shown()).toEqual([["user", "Why?"], ["assistant", "Because"]]);
});

test("an end that was heard before an older history was read stays the end", () => {
  online();
  apply({ type: "opened", chat: "c" });
  says({ type: "snapshot", run: "r", chat: "c", attempt: 1, seq: 5, state: "done", text: "Becau" }, done);
  apply(history([question(), reply({ attempt: 1, seq: 3, text: "Bec" })]));
  expect(state.threads.c?.messages.a).toMatchObject({ state: "done", text: "Becau" });
});

test("history alone tells an end whose events were all lost", () => {
  asked();
  says(delta(1, "Be"));
  apply(history([question(), reply({ state: "done", attempt: 1, seq: 7, text: "Because", finish: "stop" })]));
  expect(shown().at(-1)).toEqual(["assistant", "Because"]);
  expect(state.runs.r?.state).toBe("done");
});

test("another tab's question appears, and its reply once it was read", () => {
  online();
  apply({ type: "opened", chat: "c" }, history([]));
  taken();
  says({ type: "message", message: question() });
  expect(taken()).toEqual([{ do: "read", chat: "c" }]);
  says({ type: "started", run: "r", chat: "c", attempt: 1, model: "local" }, delta(1, "Be"));
  apply(history([question(), reply()]));
  expect(shown()).toEqual([["user", "Why?"], ["assistant", "Be"]]);
  expect(taken()).toEqual([{ do: "read", chat: "c" }]); // it changed while it was read: once more
});

test("while a run is not tied to its reply its deltas do not read the history again and again", () => {
  online();
  apply({ type: "opened", chat: "c" }, history([]));
  taken();
  says({ type: "started", run: "r", chat: "c", attempt: 1, model: "local" }, delta(1, "B"), delta(2, "e"));
  expect(taken()).toEqual([{ do: "read", chat: "c" }]);
});

test("this tab's own message, told to it as well, is not doubled", () => {
  online();
  apply({ type: "wrote", pending: pending() });
  says({ type: "message", message: question() });
  accept();
  says({ type: "message", message: question() });
  expect(shown()).toEqual([["user", "Why?"], ["assistant", ""]]);
});

test("a repeated acceptance of a run that is over still takes its snapshot and its end", () => {
  online();
  apply({ type: "wrote", pending: pending() });
  says({ type: "accepted", id: "q", chat: "c", run: "r", reply: "a", state: "done", ordinal: 1, position: 0 });
  says({ type: "snapshot", run: "r", chat: "c", attempt: 1, seq: 5, state: "done", text: "Becau" }, done);
  expect(state.threads.c?.messages.a).toMatchObject({ state: "done", text: "Becau" });
});

test("a refused message keeps its text, says why, is not sent by itself, and can be sent again under its id", () => {
  online();
  apply({ type: "wrote", pending: pending() });
  says({ type: "error", code: "store_unavailable", message: "Away.", id: "q", retryable: true });
  expect(shown()).toEqual([["user", "Why?"]]);
  expect(state.pending[0]?.refusal).toEqual({ code: "store_unavailable", message: "Away.", retryable: true });
  expect(resume(state)).toEqual([]);
  taken();
  apply({ type: "retried", id: "q" });
  expect(taken()).toEqual([{ do: "transmit", frame: { type: "send", id: "q", chat: "c", text: "Why?" } }]);
});

test("a message that was too big for the gateway is not sent for ever", () => {
  online();
  apply({ type: "wrote", pending: pending() }, { type: "linked", link: "offline", code: 1009 });
  expect(state.pending[0]?.refusal?.code).toBe("text_too_long");
  expect(resume(state)).toEqual([]);
});

test("a message taken back before it left is gone; one that may have arrived is stopped once accepted", () => {
  apply({ type: "signedIn", user: ANA, pending: [] }, { type: "wrote", pending: pending() }, { type: "discarded", id: "q" });
  expect(state.pending).toEqual([]);
  apply({ type: "linked", link: "live", code: null }, { type: "wrote", pending: pending() }, { type: "discarded", id: "q" });
  expect(state.pending).toHaveLength(1);
  taken();
  accept();
  expect(taken()).toContainEqual({ do: "transmit", frame: { type: "stop", run: "r" } });
});

test("a failed run keeps its partial text and its reason", () => {
  asked();
  says(delta(1, "Be"), { type: "failed", run: "r", chat: "c", reply: "a", attempt: 1, seq: 2, code: "timeout", message: "Late.", retryable: true });
  expect(state.threads.c?.messages.a).toMatchObject({ text: "Be", state: "failed", code: "timeout", error: "Late.", retryable: true });
});

test("a reply asked for again takes the place of the old one", () => {
  asked();
  says(delta(1, "Becau"), done);
  apply({ type: "wrote", pending: pending({ id: "again", kind: "regenerate", text: "", reply: "a" }) });
  expect(taken().at(-1)).toEqual({ do: "transmit", frame: { type: "regenerate", id: "again", reply: "a" } });
  says({ type: "accepted", id: "again", chat: "c", run: "r2", reply: "a2", state: "queued", ordinal: 2, position: 1 });
  const lines = branch(state.threads.c as never, state.pending);
  expect(lines.at(-1)).toMatchObject({ message: { id: "a2", parent: "q" }, siblings: ["a", "a2"] });
});

test("leaving a chat unwatches it, and coming back watches it with the runs still open", () => {
  asked();
  apply({ type: "opened", chat: null });
  expect(taken()).toEqual([{ do: "transmit", frame: { type: "unwatch", chat: "c" } }]);
  apply({ type: "opened", chat: "c" });
  expect(taken()).toEqual([{ do: "transmit", frame: { type: "watch", chat: "c", runs: ["r"] } }, { do: "read", chat: "c" }]);
});

test("a chat in which something is said goes to the top of the list", () => {
  online();
  const [older, newer] = [chat("c", "2025-01-01T00:00:00Z"), chat("d", "2025-02-01T00:00:00Z")];
  apply({ type: "listed", more: false, page: { items: [newer, older], next: null } });
  says({ type: "message", message: question() });
  expect(state.listing.items.map((one) => one.id)).toEqual(["c", "d"]);
});

test("a chat deleted in another tab leaves the list and the page", () => {
  asked();
  says({ type: "chat", change: "created", chat: chat("c") }, delta(1, "Be"));
  says({ type: "chat", change: "deleted", chat: chat("c") }, delta(3, "c"));
  expect([state.open, state.threads, state.runs, state.listing.items]).toEqual([null, {}, {}, []]);
});

test("a chat that does not exist is missing; one that was not reachable is failed and can be read again", () => {
  online();
  apply({ type: "opened", chat: "c" }, { type: "unread", chat: "c", missing: false });
  expect(state.threads.c?.status).toBe("failed");
  apply({ type: "reopened", chat: "c" }, { type: "unread", chat: "c", missing: true });
  expect(state.threads.c?.status).toBe("missing");
});

test("after a reload the chat of an unsent first message is new, not missing", () => {
  apply({ type: "signedIn", user: ANA, pending: [pending({ sent: true })] });
  apply({ type: "opened", chat: "c" }, { type: "unread", chat: "c", missing: true });
  expect(state.threads.c?.status).toBe("new");
  expect(shown()).toEqual([["user", "Why?"]]);
});

test("its history, asked for before it was accepted, is asked for again", () => {
  apply({ type: "signedIn", user: ANA, pending: [pending({ sent: true })] }, { type: "opened", chat: "c" });
  accept();
  taken();
  apply({ type: "unread", chat: "c", missing: true });
  expect(taken()).toEqual([{ do: "read", chat: "c" }]);
});

test("somebody else's hello empties the page", () => {
  asked();
  says({ ...hello, user: { id: "bo", username: "bo", role: "member" } });
  expect([state.user?.id, state.threads, state.pending, resume(state)]).toEqual(["bo", {}, [], []]);
});

test("signing out empties the page", () => {
  asked();
  apply({ type: "signedOut" });
  expect([state.session, state.user, state.threads, state.runs]).toEqual(["out", null, {}, {}]);
});

test("messages of the chats opened longest ago are forgotten, the open one's never", () => {
  online();
  for (let i = 0; i < THREADS_KEPT + 5; i++) apply({ type: "opened", chat: `c${i}` });
  expect(Object.keys(state.threads)).toHaveLength(THREADS_KEPT);
  expect(state.threads[`c${THREADS_KEPT + 4}`]).toBeDefined();
  expect(state.threads.c0).toBeUndefined();
});

test("a message of a later version changes nothing", () => {
  asked();
  const before = state;
  says({ type: "of a later version" } as unknown as ServerMessage);
  expect(state).toBe(before);
});

test("older messages come in front and the cursor moves on", () => {
  online();
  apply({ type: "opened", chat: "c" }, history([question({ id: "q2", ordinal: 2, parent: "a" })], { previous: "p1" }));
  const older: Input = history([question(), reply({ state: "done", text: "Because" })], { previous: null });
  apply({ ...older, older: true } as Input);
  expect(shown().map(([, text]) => text)).toEqual(["Why?", "Because", "Why?"]);
  expect(state.threads.c?.previous).toBeNull();
});
