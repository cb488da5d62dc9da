import { expect, test } from "vitest";
import { heard, newRun, readFrom } from "../src/run";
import { reply } from "./fixtures";

const IDS = { run: "r", chat: "c", reply: "a" };
const running = newRun("r", "c", { state: "running", attempt: 1, seq: 5, text: "hello" });

test("a second gap asks nothing while the first is being asked for", () => {
  const [gap, first] = heard(running, { type: "delta", run: "r", attempt: 1, from: 9, seq: 9, text: "x" });
  const [, second] = heard(gap, { type: "delta", run: "r", attempt: 1, from: 10, seq: 10, text: "y" });
  expect([first, second]).toEqual([true, false]);
});

test("the snapshot of a run that is over is the last word, even where it is shorter", () => {
  const [cut] = heard(running, { type: "snapshot", ...IDS, attempt: 1, seq: 4, state: "done", text: "hell" });
  const usage = { prompt_tokens: 1, completion_tokens: 1 };
  const [over, ask] = heard(cut, { type: "done", ...IDS, attempt: 1, seq: 4, finish: "length", usage });
  expect([over.text, over.state, over.finish, ask]).toEqual(["hell", "done", "length", false]);
});

test("a queue position is kept while it waits and forgotten when it starts", () => {
  const [waiting] = heard(newRun("r", "c", { state: "queued" }), { type: "queued", run: "r", position: 2, eta: 4 });
  expect([waiting.position, waiting.eta]).toEqual([2, 4]);
  const [begun] = heard(waiting, { type: "started", ...IDS, attempt: 1, model: "m" });
  expect([begun.state, begun.position, begun.eta, begun.model]).toEqual(["running", 0, null, "m"]);
});

test("a run that its worker gave back waits again and keeps its text", () => {
  const [back] = heard(running, { type: "queued", run: "r", position: 1 });
  expect([back.state, back.text]).toEqual(["queued", "hello"]);
});

test("a failure tells its code, its message and whether trying again can help", () => {
  const [over] = heard(running, { type: "failed", ...IDS, attempt: 1, seq: 5, code: "timeout", message: "Late.", retryable: true });
  expect(over.failure).toEqual({ code: "timeout", message: "Late.", retryable: true });
});

test("the history never takes back what was heard live", () => {
  expect(readFrom(running, reply({ attempt: 1, seq: 3, text: "hel" })).text).toBe("hello");
  expect(readFrom(running, reply({ attempt: 1, seq: 7, text: "hello y" })).text).toBe("hello y");
  expect(readFrom(running, reply({ attempt: 2, seq: 2, text: "ab" })).text).toBe("ab");
});

test("an adjacent delta does not recount the text", () => {
  const far = newRun("r", "c", { state: "running", attempt: 1, seq: 1_000_000, text: "not that long" });
  const [next] = heard(far, { type: "delta", run: "r", attempt: 1, from: 1_000_001, seq: 1_000_002, text: "😀!" });
  expect([next.seq, next.text]).toEqual([1_000_002, "not that long😀!"]);
});
