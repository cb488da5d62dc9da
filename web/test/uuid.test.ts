import { expect, test } from "vitest";
import { isUuid, uuid7 } from "../src/uuid";

test("an id of version 7 bears its millisecond, its version and its variant", () => {
  const id = uuid7(0x0199_1234_5678, new Uint8Array(10).fill(0xff));
  expect(id).toBe("01991234-5678-7fff-bfff-ffffffffffff");
  expect(isUuid(id)).toBe(true);
});

test("ids of later milliseconds sort later", () => {
  const zero = new Uint8Array(10);
  expect(uuid7(1_000, zero) < uuid7(1_001, zero)).toBe(true);
});

test.each(["", "x", "01991234-5678-7fff-bfff", "g1991234-5678-7fff-bfff-ffffffffffff"])("%j is no id", (text) => {
  expect(isUuid(text)).toBe(false);
});
