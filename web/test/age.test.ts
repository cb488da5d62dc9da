import { expect, test } from "vitest";
import { age } from "../src/features/chats/age";

const now = new Date(2026, 2, 30, 9, 0);

test.each([
  [new Date(2026, 2, 30, 0, 0), "today"],
  [new Date(2026, 2, 29, 23, 59), "yesterday"],
  [new Date(2026, 2, 29, 0, 1), "yesterday"],
  [new Date(2026, 2, 28, 23, 59), "week"],
  [new Date(2026, 2, 24), "week"],
  [new Date(2026, 2, 22), "older"],
])("%s is %s", (then, expected) => {
  expect(age(then.toISOString(), now)).toBe(expected);
});
