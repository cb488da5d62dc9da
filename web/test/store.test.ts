import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../src/api";
import { createKeep, memoryShelf } from "../src/keep";
import { createSession } from "../src/store";
import { ANA, FakeSocket, chat, question, reply } from "./fixtures";
import type { Api, History } from "../src/api";
import type { Keep } from "../src/keep";
import type { State } from "../src/state";
import type { Session } from "../src/store";

let sockets: FakeSocket[];
let frames: (() => void)[];
let calls: string[];
let histories: Record<string, History>;
let api: Api;
let keep: Keep;
let session: Session;
let ids: number;

const refusal = (status: number, code: string): Promise<never> => Promise.reject(new ApiError(status, code, code));

function fakeApi(): Api {
  const called = <T>(name: string, value: T): Promise<T> => (calls.push(name), Promise.resolve(value));
  return {
    info: () => called("info", { sign_up: true, first_account: false, models: ["local"], version: "0" }),
    me: () => called("me", ANA),
    register: () => called("register", ANA),
    login: () => called("login", ANA),
    logout: () => called("logout", undefined),
    chats: (cursor) => called(`chats ${cursor}`, { items: [chat("c")], next: null }),
    history: (id) => (calls.push(`history ${id}`), histories[id] ? Promise.resolve(histories[id]) : refusal(404, "not_found")),
    rename: (id, title) => called("rename", chat(id, undefined, title)),
    remove: () => called("remove", undefined),
  };
}

function newSession(): Session {
  return createSession({
    api,
    keep,
    socketUrl: "ws://host/api/ws",
    openSocket: () => (sockets.push(new FakeSocket()), last()),
    atNextFrame: (callback) => frames.push(callback),
    uuid: () => `id-${++ids}`,
    now: () => new Date(0),
    random: () => 1,
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  [sockets, frames, calls, histories, ids] = [[], [], [], {}, 0];
  api = fakeApi();
  keep = createKeep(memoryShelf());
  session = newSession();
});

afterEach(() => {
  session.stop();
  vi.useRealTimers();
});

const last = (): FakeSocket => sockets.at(-1) as FakeSocket;
const state = (): State => session.store.getState();
const paint = (): void => frames.splice(0).forEach((callback) => callback());
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

async function live(): Promise<void> {
  await session.start(null);
  last().welcomes();
  paint();
  await settle();
}

const accepted = { type: "accepted", run: "r", reply: "a", state: "queued", ordinal: 1, position: 1 };
const delta = (from: number, text: string): object => ({ type: "delta", run: "r", attempt: 1, from, seq: from + text.length - 1, text });

test("who is signed in gets a live socket and the list", async () => {
  await live();
  expect(state()).toMatchObject({ session: "in", link: "live", user: ANA, models: ["local"] });
  expect(state().listing.items.map((one) => one.id)).toEqual(["c"]);
});

test("who is not is asked to sign in, and no socket is opened", async () => {
  api.me = () => refusal(401, "not_signed_in");
  await session.start(null);
  expect([state().session, sockets.length]).toEqual(["out", 0]);
  await session.signIn({ username: "ana", password: "12345678" });
  expect([state().session, sockets.length]).toEqual(["in", 1]);
});

test("a gateway that is away at the start is asked again", async () => {
  api.me = () => refusal(0, "unreachable");
  await session.start(null);
  expect([state().session, state().link]).toEqual(["unknown", "offline"]);
  api.me = () => Promise.resolve(ANA);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(state().session).toBe("in");
});

test("many deltas between two frames are one change of state", async () => {
  await live();
  session.send("Why?", null, null);
  last().says({ ...accepted, id: "id-2", chat: "id-1" });
  paint();
  const changes = vi.fn();
  session.store.subscribe(changes);
  for (let i = 1; i <= 200; i++) last().says(delta(i, "x") as never);
  expect(changes).not.toHaveBeenCalled();
  paint();
  expect(changes).toHaveBeenCalledTimes(1);
  expect(state().runs.r?.seq).toBe(200);
});

test("what the user does comes behind what was heard before it, even within one frame", async () => {
  await live();
  session.send("Why?", null, null);
  last().says({ ...accepted, id: "id-2", chat: "id-1" });
  last().says(delta(1, "Be") as never);
  session.stopRun("r");
  expect(state().runs.r).toMatchObject({ text: "Be", stopping: true });
  expect(last().sent.at(-1)).toEqual({ type: "stop", run: "r" });
});

test("a message typed while away is sent once it is live, once, and again only while unacknowledged", async () => {
  await live();
  last().ends(1006);
  session.send("Why?", null, null);
  expect(state().link).toBe("offline");
  await vi.advanceTimersByTimeAsync(500);
  last().welcomes();
  expect(last().sent.filter((frame) => frame.type === "send")).toHaveLength(1);
  last().ends(1006); // before the acknowledgement
  await vi.advanceTimersByTimeAsync(1_000);
  last().welcomes();
  const [again] = last().sent.filter((frame) => frame.type === "send");
  expect(again?.id).toBe("id-2");
  last().says({ ...accepted, id: "id-2", chat: "id-1" });
  paint();
  last().ends(1006);
  await vi.advanceTimersByTimeAsync(2_000);
  last().welcomes();
  expect(last().sent.filter((frame) => frame.type === "send")).toEqual([]);
});

test("an unacknowledged message outlives a reload, an acknowledged one is forgotten", async () => {
  await live();
  session.send("Why?", null, null);
  session.stop();
  session = newSession();
  await live();
  expect(last().sent).toContainEqual({ type: "send", id: "id-2", chat: "id-1", text: "Why?" });
  last().says({ ...accepted, id: "id-2", chat: "id-1" });
  paint();
  expect(keep.pending(ANA.id)).toEqual([]);
});

test("an opened chat is watched first and read then, and its live text merges with what was read", async () => {
  histories.c = { id: "c", title: "c", status: "ACTIVE", runs: ["r"], previous: null, messages: [question(), reply({ attempt: 1, seq: 2, text: "Be" })] };
  await live();
  session.open("c");
  expect(last().sent.at(-1)).toEqual({ type: "watch", chat: "c", runs: [] });
  expect(calls.at(-1)).toBe("history c");
  last().says({ type: "snapshot", run: "r", chat: "c", attempt: 1, seq: 4, state: "running", text: "Beca" });
  paint();
  await settle();
  expect(state().runs.r).toMatchObject({ text: "Beca", reply: "a" });
});

test("a new question names its parent only on a branch that is not the newest", async () => {
  const [one, two] = [reply({ id: "a1", ordinal: 1, state: "done" }), reply({ id: "a2", ordinal: 2, state: "done" })];
  histories.c = { id: "c", title: "c", status: "ACTIVE", runs: [], previous: null, messages: [question(), one, two] };
  await live();
  session.open("c");
  await settle();
  session.send("And?", null, "a2");
  session.send("And?", "big", "a1");
  const [newest, older] = last().sent.filter((frame) => frame.type === "send");
  expect([newest?.parent, older?.parent, older?.model]).toEqual([undefined, "a1", "big"]);
});

test("what is written at the address of a chat that does not exist begins a new one", async () => {
  await live();
  session.open("gone");
  await settle();
  session.send("Why?", null, null);
  expect(last().sent.at(-1)).toMatchObject({ type: "send", chat: "id-1" });
  expect(state().open).toBe("id-1");
});

test("a sign-in that ended elsewhere leads to the sign-in page", async () => {
  await live();
  last().ends(4401);
  expect([state().session, state().user]).toEqual(["out", null]);
});

test("a handshake that fails asks whether anybody is signed in", async () => {
  await live();
  last().ends(1006);
  api.me = () => refusal(401, "not_signed_in");
  await vi.advanceTimersByTimeAsync(500);
  last().ends(1006);
  await settle();
  expect(state().session).toBe("out");
});

test("signing out closes the socket and leaves nothing that was written on the machine", async () => {
  await live();
  keep.keepDraft(ANA.id, null, "a draft");
  session.send("Why?", null, null);
  await session.signOut();
  expect(last().closedWith).toBe(1000);
  expect([keep.draft(ANA.id, null), keep.pending(ANA.id), state().session]).toEqual(["", [], "out"]);
});

test("a refused rename or delete is told and changes nothing", async () => {
  await live();
  api.remove = () => refusal(503, "store_unavailable");
  await session.remove("c");
  expect(state().notice?.code).toBe("store_unavailable");
  expect(state().listing.items).toHaveLength(1);
});
