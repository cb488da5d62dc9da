import { expect, test } from "vitest";
import { acceptedMessages, branch, chose, newThread, newestReply, unchosen, withMessages } from "../src/thread";
import { AT, question, reply } from "./fixtures";
import type { Pending, Thread } from "../src/thread";

const done = { state: "done" } as const;

/** q1 ─ a1 ─┬ q2 ─ a2
 *           └ q3 ─ a3 ─ (a4: a3 again) */
function forked(): Thread {
  return withMessages(newThread("c", "ready"), [
    question({ id: "q1", ordinal: 1 }),
    reply({ id: "a1", parent: "q1", ordinal: 1, ...done }),
    question({ id: "q2", parent: "a1", ordinal: 2 }),
    reply({ id: "a2", parent: "q2", ordinal: 2, ...done }),
    question({ id: "q3", parent: "a1", ordinal: 3 }),
    reply({ id: "a3", parent: "q3", ordinal: 3, ...done }),
    reply({ id: "a4", parent: "q3", ordinal: 4, ...done }),
  ]);
}

function pending(given: Partial<Pending>): Pending {
  const none = { parent: null, reply: null, model: null, refusal: null };
  return { id: "p", kind: "send", chat: "c", text: "And?", at: AT, sent: true, withdrawn: false, ...none, ...given };
}

const ids = (thread: Thread, waiting: Pending[] = []): string[] => branch(thread, waiting).map((line) => line.message.id);

test("the branch with the newest message is shown, and each turn knows its siblings", () => {
  expect(ids(forked())).toEqual(["q1", "a1", "q3", "a4"]);
  expect(branch(forked(), []).map((line) => line.siblings)).toEqual([["q1"], ["a1"], ["q2", "q3"], ["a3", "a4"]]);
});

test("a chosen branch is shown down to its newest leaf", () => {
  const chosen = chose(forked(), question({ id: "q2", parent: "a1" }));
  expect(ids(chosen)).toEqual(["q1", "a1", "q2", "a2"]);
  expect(ids(unchosen(chosen, "a1"))).toEqual(["q1", "a1", "q3", "a4"]);
});

test("a message that is not acknowledged stands at the end, in the order of writing", () => {
  expect(ids(forked(), [pending({ id: "p1" }), pending({ id: "p2" })])).toEqual(["q1", "a1", "q3", "a4", "p1", "p2"]);
});

test("a pending edit stands beside the question it changes", () => {
  const lines = branch(forked(), [pending({ id: "p", parent: "a1" })]);
  expect(lines.map((line) => line.message.id)).toEqual(["q1", "a1", "p"]);
  expect(lines[2]?.siblings).toEqual(["q2", "q3", "p"]);
});

test("a first question in other words stands beside it, before it is acknowledged and after", () => {
  const edit = pending({ id: "p", parent: "c" });
  expect(branch(forked(), [edit]).map((line) => [line.message.id, line.siblings])).toEqual([["p", ["q1", "p"]]]);
  const [asked] = acceptedMessages(forked(), edit, { run: "r", reply: "a", ordinal: 5 });
  expect(asked).toMatchObject({ id: "p", parent: null });
});

test("a reply that is asked for again stands empty in the place of the old one", () => {
  const lines = branch(forked(), [pending({ id: "p", kind: "regenerate", reply: "a4" })]);
  expect(lines.at(-1)).toMatchObject({ message: { id: "p", role: "assistant", text: "" }, siblings: ["a3", "a4", "p"] });
});

test("a page of history without its beginning is shown from its oldest known message on", () => {
  const { q1: _, a1: __, ...messages } = forked().messages;
  expect(ids({ ...forked(), messages })).toEqual(["q3", "a4"]);
});

test("the newest reply is the one that a new question follows", () => {
  expect(newestReply(forked())?.id).toBe("a4");
});

test("an empty chat shows nothing", () => {
  expect(branch(newThread("c", "new"), [])).toEqual([]);
});
