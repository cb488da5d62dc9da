import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient } from "../src/client";
import { FakeSocket } from "./fixtures";
import type { Client } from "../src/client";
import type { ClientMessage, ServerMessage } from "../src/protocol";

let sockets: FakeSocket[];
let links: [string, number | undefined][];
let messages: ServerMessage[];
let resumed: ClientMessage[];
let probe: ClientMessage | null;
let awaiting: boolean;
let client: Client;

beforeEach(() => {
  vi.useFakeTimers();
  [sockets, links, messages, resumed, probe, awaiting] = [[], [], [], [], null, false];
  client = createClient({
    url: "ws://host/api/ws",
    open: (url, subprotocol) => {
      expect([url, subprotocol]).toEqual(["ws://host/api/ws", "prosa.v1"]);
      sockets.push(new FakeSocket());
      return last();
    },
    random: () => 1,
    resume: () => resumed,
    probe: () => probe,
    awaiting: () => awaiting,
    onMessage: (message) => messages.push(message),
    onLink: (link, close) => links.push([link, close?.code]),
  });
  client.start();
});

afterEach(() => {
  client.stop();
  vi.useRealTimers();
});

const last = (): FakeSocket => sockets.at(-1) as FakeSocket;
const send: ClientMessage = { type: "send", id: "m", chat: "c", text: "hi" };

test("it is live only after hello, and then resumes in order", () => {
  resumed = [{ type: "watch", chat: "c", runs: ["r"] }, send];
  client.send(send);
  expect(last().sent).toEqual([]);
  last().welcomes();
  expect(links).toEqual([["connecting", undefined], ["live", undefined]]);
  expect(last().sent).toEqual(resumed);
});

test("every reconnect resumes again, so an unacknowledged message is sent again with the same id", () => {
  resumed = [send];
  last().welcomes();
  last().ends(1006);
  vi.advanceTimersByTime(500);
  last().welcomes();
  expect(sockets.map((socket) => socket.sent)).toEqual([[send], [send]]);
});

test("the waits between failed connects grow and stay below their cap", () => {
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    last().ends(1006);
    const count = sockets.length;
    let waited = 0;
    while (sockets.length === count) {
      vi.advanceTimersByTime(100);
      waited += 100;
    }
    waits.push(waited);
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
});

test("a gateway that goes away (1012) is left within a second, however often it failed before", () => {
  last().ends(1006);
  vi.advanceTimersByTime(500);
  last().welcomes();
  last().ends(1012);
  vi.advanceTimersByTime(1000);
  expect(sockets).toHaveLength(3);
});

test("an overloaded gateway (1013) is left alone for longer", () => {
  last().welcomes();
  last().ends(1013);
  vi.advanceTimersByTime(4_900);
  expect(sockets).toHaveLength(1);
  vi.advanceTimersByTime(100);
  expect(sockets).toHaveLength(2);
});

test("failures of another kind do not make that wait longer, but a second overload does", () => {
  for (const wait of [500, 1000, 2000, 4000]) {
    last().ends(1006);
    vi.advanceTimersByTime(wait);
  }
  for (const wait of [5_000, 10_000]) {
    const before = sockets.length;
    last().ends(1013);
    vi.advanceTimersByTime(wait - 100);
    expect(sockets).toHaveLength(before);
    vi.advanceTimersByTime(100);
    expect(sockets).toHaveLength(before + 1);
  }
});

test("a gateway that says hello and hangs up at once does not reset the back-off", () => {
  for (const wait of [500, 1000, 2000]) {
    last().welcomes();
    last().ends(1006);
    vi.advanceTimersByTime(wait - 1);
    const before = sockets.length;
    vi.advanceTimersByTime(1);
    expect(sockets).toHaveLength(before + 1);
  }
});

test("a steady connection does", () => {
  last().ends(1006);
  vi.advanceTimersByTime(500);
  last().welcomes();
  vi.advanceTimersByTime(10_000);
  last().ends(1006);
  vi.advanceTimersByTime(500);
  expect(sockets).toHaveLength(3);
});

test.each([
  [4401, "signed-out"],
  [4403, "refused"],
])("close %i is final: %s", (code, link) => {
  last().ends(code);
  vi.advanceTimersByTime(120_000);
  expect(links.at(-1)).toEqual([link, code]);
  expect(sockets).toHaveLength(1);
});

test("a connection without a hello is given up and tried again", () => {
  vi.advanceTimersByTime(10_000);
  expect(links.at(-1)).toEqual(["offline", 1006]);
  vi.advanceTimersByTime(500);
  expect(sockets).toHaveLength(2);
});

test("a message that nothing answers shows a dead connection", () => {
  last().welcomes();
  client.send(send);
  vi.advanceTimersByTime(15_000);
  expect(links.at(-1)).toEqual(["offline", 1006]);
});

test("anything that arrives is a sign of life", () => {
  last().welcomes();
  client.send(send);
  vi.advanceTimersByTime(14_000);
  last().says({ type: "queued", run: "r", position: 1 });
  vi.advanceTimersByTime(60_000);
  expect(links.at(-1)).toEqual(["live", undefined]);
});

test("when the page wakes up it asks, and gives up a silent socket within five seconds", () => {
  last().welcomes();
  probe = { type: "watch", chat: "c" };
  client.nudge();
  expect(last().sent).toEqual([probe]);
  vi.advanceTimersByTime(5_000);
  expect(links.at(-1)).toEqual(["offline", 1006]);
});

test("a server that freezes in mid-answer is left, though it closes nothing", () => {
  last().welcomes();
  [probe, awaiting] = [{ type: "watch", chat: "c", runs: ["r"] }, true];
  vi.advanceTimersByTime(7_000);
  last().says({ type: "queued", run: "r", position: 1 });
  vi.advanceTimersByTime(7_999);
  expect(last().sent).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(last().sent).toEqual([probe]);
  vi.advanceTimersByTime(5_000);
  expect(links.at(-1)).toEqual(["offline", 1006]);
});

test("where no answer is awaited nobody asks, however long it is silent", () => {
  last().welcomes();
  probe = { type: "watch", chat: "c" };
  vi.advanceTimersByTime(60_000);
  expect(last().sent).toEqual([]);
});

test("when the network comes back it does not wait for the back-off", () => {
  for (let i = 0; i < 5; i++) {
    last().ends(1006);
    vi.advanceTimersByTime(15_000);
  }
  last().ends(1006);
  const before = sockets.length;
  client.nudge();
  expect(sockets).toHaveLength(before + 1);
});

test("a socket that was given up says nothing any more", () => {
  const dead = last();
  vi.advanceTimersByTime(10_000);
  dead.welcomes();
  dead.ends(4401);
  expect(messages).toEqual([]);
  expect(links.at(-1)).toEqual(["offline", 1006]);
});

test("what is no message is skipped, and a later version's message is passed on", () => {
  last().welcomes();
  last().onmessage?.({ data: "not json" });
  last().onmessage?.({ data: "[1]" });
  last().onmessage?.({ data: new Uint8Array(1) });
  last().says({ type: "of a later version" });
  expect(messages.map((message) => message.type)).toEqual(["hello", "of a later version"]);
});

test("a client that was stopped stays away", () => {
  last().welcomes();
  client.stop();
  expect(last().closedWith).toBe(1000);
  vi.advanceTimersByTime(120_000);
  expect(sockets).toHaveLength(1);
});
