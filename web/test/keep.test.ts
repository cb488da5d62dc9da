import { expect, test } from "vitest";
import { createKeep, memoryShelf } from "../src/keep";
import { AT } from "./fixtures";
import type { Pending } from "../src/thread";

const none = { parent: null, reply: null, model: null, refusal: null };
const pending: Pending = { id: "p1", kind: "send", chat: "c", text: "hi", at: AT, sent: false, withdrawn: false, ...none };

test("drafts are kept for each user and chat, and an empty one leaves no trace", () => {
  const shelf = memoryShelf();
  const keep = createKeep(shelf);
  keep.keepDraft("ana", "c", "half a");
  expect([keep.draft("ana", "c"), keep.draft("ana", null), keep.draft("bo", "c")]).toEqual(["half a", "", ""]);
  keep.keepDraft("ana", "c", "");
  expect(shelf.length).toBe(0);
});

test("pending messages come back in the order of their ids, as perhaps sent", () => {
  const keep = createKeep(memoryShelf());
  keep.keepPending("ana", { ...pending, id: "p2" });
  keep.keepPending("ana", pending);
  expect(keep.pending("ana").map((one) => [one.id, one.sent])).toEqual([["p1", true], ["p2", true]]);
});

test("two tabs that keep messages side by side do not lose one another's", () => {
  const shelf = memoryShelf();
  createKeep(shelf).keepPending("ana", pending);
  createKeep(shelf).keepPending("ana", { ...pending, id: "p2" });
  createKeep(shelf).forgetPending("ana", "p1");
  expect(createKeep(shelf).pending("ana").map((one) => one.id)).toEqual(["p2"]);
});

test("forgetting a user leaves the others and the choices alone", () => {
  const keep = createKeep(memoryShelf());
  keep.keepPending("ana", pending);
  keep.keepDraft("bo", null, "mine");
  keep.keepChoice("theme", "dark");
  keep.forgetUser("ana");
  expect([keep.pending("ana"), keep.draft("bo", null), keep.choice("theme")]).toEqual([[], "mine", "dark"]);
});

test("a full storage and rubbish in it break nothing", () => {
  const shelf = memoryShelf();
  shelf.setItem("prosa.ana.pending.x", "{rubbish");
  const keep = createKeep({ ...shelf, key: shelf.key, length: 1, setItem: () => { throw new Error("full"); } });
  expect(() => keep.keepDraft("ana", null, "text")).not.toThrow();
  expect(keep.pending("ana")).toEqual([]);
});
