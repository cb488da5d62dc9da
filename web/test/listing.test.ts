import { expect, test } from "vitest";
import { removed, touched, withPage } from "../src/listing";
import { chat } from "./fixtures";
import type { Listing } from "../src/listing";

const EMPTY: Listing = { items: [], next: null, loaded: false };
const day = (n: number): string => `2026-01-${String(n).padStart(2, "0")}T00:00:00Z`;
const ids = (listing: Listing): string[] => listing.items.map((one) => one.id);
const two = withPage(EMPTY, { items: [chat("d", day(4)), chat("c", day(3))], next: "k" }, false);

test("a further page follows, and what moved between the pages is there once", () => {
  const all = withPage(two, { items: [chat("c", day(3)), chat("a", day(1))], next: null }, true);
  expect([ids(all), all.next]).toEqual([["d", "c", "a"], null]);
});

test("a chat with something new goes to the top", () => {
  expect(ids(touched(two, chat("c", day(9))))).toEqual(["c", "d"]);
  expect(ids(touched(two, chat("new", day(5))))).toEqual(["new", "d", "c"]);
});

test("the newest page read again drops what was deleted in between and keeps what is older", () => {
  const three = withPage(two, { items: [chat("a", day(1))], next: "z" }, true);
  const again = withPage(three, { items: [chat("e", day(5)), chat("c", day(3))], next: "k" }, false);
  expect([ids(again), again.next]).toEqual([["e", "c", "a"], "z"]);
});

test("a list that fits one page is that page", () => {
  expect(ids(withPage(two, { items: [chat("d", day(4))], next: null }, false))).toEqual(["d"]);
});

test("a deleted chat is gone", () => {
  expect(ids(removed(two, "d"))).toEqual(["c"]);
});
