/**
 * Glue: one store, fed by the socket and by the user, whose effects go to the socket and to HTTP.
 *
 * What the gateway says is collected and applied once an animation frame, in order, as one change of state.
 */
import { createStore } from "zustand/vanilla";
import { ApiError } from "./api";
import { createClient } from "./client";
import { awaiting, reduce, resume, watch } from "./reducer";
import { INITIAL } from "./state";
import { newestReply } from "./thread";
import type { StoreApi } from "zustand/vanilla";
import type { Api, Credentials, Info } from "./api";
import type { Link, Socket } from "./client";
import type { Keep } from "./keep";
import type { MessageView, ServerMessage, UserView, Uuid } from "./protocol";
import type { Effect, Input, Problem, State } from "./state";
import type { Pending } from "./thread";

export interface Surroundings {
  readonly api: Api;
  readonly keep: Keep;
  readonly socketUrl: string;
  readonly openSocket: (url: string, subprotocol: string) => Socket;
  /** Calls back at the next animation frame, or soon where the page is hidden. */
  readonly atNextFrame: (callback: () => void) => void;
  readonly uuid: () => Uuid;
  readonly now: () => Date;
  readonly random: () => number;
}

export interface Session {
  readonly store: StoreApi<State>;
  readonly keep: Keep;
  /** Asks who is signed in, again and again until there is an answer; then opens the chat. */
  start(chat: Uuid | null): Promise<void>;
  stop(): void;
  nudge(): void;
  info(): Promise<Info>;
  /** Raise ApiError where they are refused. */
  signUp(credentials: Credentials): Promise<void>;
  signIn(credentials: Credentials): Promise<void>;
  signOut(): Promise<void>;
  open(chat: Uuid | null): void;
  reopen(chat: Uuid): void;
  moreChats(): Promise<void>;
  olderMessages(chat: Uuid): Promise<void>;
  /** Ask in the open chat, or in a new one. `parent`: the reply that the shown branch ends with. */
  send(text: string, model: string | null, parent: Uuid | null): void;
  /** Ask a question in other words: a new branch beside it. */
  edit(question: MessageView, text: string, model: string | null): void;
  regenerate(reply: MessageView, model: string | null): void;
  retry(id: Uuid): void;
  discard(id: Uuid): void;
  stopRun(run: Uuid): void;
  choose(message: MessageView): void;
  rename(chat: Uuid, title: string): Promise<void>;
  remove(chat: Uuid): Promise<void>;
  dismiss(): void;
}

const RETRY_MS = 2_000;

export function createSession(around: Surroundings): Session {
  const { api, keep } = around;
  const store = createStore<State>(() => INITIAL);
  const inbox: ServerMessage[] = [];
  let asked: ReturnType<typeof setTimeout> | undefined;
  const client = createClient({
    url: around.socketUrl,
    open: around.openSocket,
    random: around.random,
    resume: () => (flush(), resume(store.getState())),
    probe: () => watch(store.getState(), store.getState().open)[0] ?? null,
    awaiting: () => awaiting(store.getState()),
    onMessage: receive,
    onLink: linked,
  });

  // ── in ─────────────────────────────────────────────────────────────────────────────────────────────────────

  function receive(message: ServerMessage): void {
    inbox.push(message);
    if (inbox.length === 1) around.atNextFrame(flush);
  }

  function flush(): void {
    if (inbox.length === 0) return;
    apply(inbox.splice(0).map((message) => ({ type: "heard", message })));
  }

  /** What the user does comes behind all that was heard before it. */
  function dispatch(input: Input): void {
    flush();
    apply([input]);
  }

  function apply(inputs: readonly Input[]): void {
    const before = store.getState();
    const effects: Effect[] = [];
    let state = before;
    for (const input of inputs) {
      const [next, wanted] = reduce(state, input);
      state = next;
      effects.push(...wanted);
    }
    if (state === before) return;
    keepPending(before, state);
    store.setState(state, true);
    effects.forEach(run);
  }

  /** Before anything is sent it is kept: a reload in between sends it again. */
  function keepPending(before: State, after: State): void {
    if (before.pending === after.pending || after.user === null) return;
    const user = after.user.id;
    const held = new Set(after.pending.map((one) => one.id));
    before.pending.filter((one) => !held.has(one.id)).forEach((one) => keep.forgetPending(user, one.id));
    after.pending.filter((one) => !before.pending.includes(one)).forEach((one) => keep.keepPending(user, one));
  }

  function linked(link: Link, close: { code: number; welcome: boolean } | null): void {
    dispatch({ type: "linked", link, code: close?.code ?? null });
    if (link === "signed-out") dispatch({ type: "signedOut" });
    // A handshake that failed does not say why: perhaps nobody is signed in any more.
    if (close && !close.welcome && link === "offline") void api.me().catch(signedOutBy);
  }

  // ── out ────────────────────────────────────────────────────────────────────────────────────────────────────

  function run(effect: Effect): void {
    switch (effect.do) {
      case "transmit":
        return client.send(effect.frame);
      case "read":
        return void readHistory(effect.chat, null);
      case "list":
        return void readChats(null);
    }
  }

  async function readHistory(chat: Uuid, cursor: string | null): Promise<void> {
    const older = cursor !== null;
    try {
      const history = await api.history(chat, cursor);
      dispatch({ type: "read", history, older });
    } catch (error) {
      if (!older) dispatch({ type: "unread", chat, missing: error instanceof ApiError && error.status === 404 });
      signedOutBy(error);
    }
  }

  async function readChats(cursor: string | null): Promise<void> {
    try {
      const page = await api.chats(cursor);
      dispatch({ type: "listed", page, more: cursor !== null });
    } catch (error) {
      signedOutBy(error);
    }
  }

  function signedOutBy(error: unknown): void {
    if (!(error instanceof ApiError) || error.status !== 401 || store.getState().session !== "in") return;
    client.stop();
    dispatch({ type: "signedOut" });
  }

  function begin(user: UserView): void {
    const { open } = store.getState();
    dispatch({ type: "signedIn", user, pending: keep.pending(user.id) });
    if (open !== null) dispatch({ type: "opened", chat: open });
    client.start();
    void readChats(null);
  }

  async function start(chat: Uuid | null): Promise<void> {
    clearTimeout(asked);
    store.setState({ open: chat });
    try {
      begin(await api.me());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return dispatch({ type: "signedOut" });
      dispatch({ type: "linked", link: "offline", code: null });
      asked = setTimeout(() => void start(chat), RETRY_MS);
    }
  }

  // ── what the user wants ────────────────────────────────────────────────────────────────────────────────────

  async function signOut(): Promise<void> {
    const { user } = store.getState();
    await attempt(() => api.logout());
    client.stop();
    if (user) keep.forgetUser(user.id);
    dispatch({ type: "opened", chat: null });
    dispatch({ type: "signedOut" });
  }

  /** A call whose refusal the user is told in passing. */
  async function attempt(call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
    } catch (error) {
      if (error instanceof ApiError && error.status !== 401) notice({ code: error.code, message: error.message });
      signedOutBy(error);
    }
  }

  function notice(problem: Problem | null): void {
    dispatch({ type: "noticed", notice: problem });
  }

  function write(request: Pick<Pending, "kind" | "chat" | "text" | "parent" | "reply" | "model">): void {
    const at = around.now().toISOString();
    dispatch({ type: "wrote", pending: { ...request, id: around.uuid(), at, sent: false, withdrawn: false, refusal: null } });
  }

  function send(text: string, model: string | null, leaf: Uuid | null): void {
    flush();
    const { open, threads } = store.getState();
    const thread = open === null ? undefined : threads[open];
    // Only a branch that is not the newest is named: two tabs that write at once stay on one line.
    const chat = open === null || thread?.status === "missing" ? around.uuid() : open;
    const parent = thread && leaf !== newestReply(thread)?.id ? leaf : null;
    write({ kind: "send", chat, text, parent, reply: null, model });
  }

  return {
    store,
    keep,
    start,
    stop: () => (clearTimeout(asked), client.stop()),
    nudge: client.nudge,
    info: api.info,
    signUp: async (credentials) => begin(await api.register(credentials)),
    signIn: async (credentials) => begin(await api.login(credentials)),
    signOut,
    open: (chat) => dispatch({ type: "opened", chat }),
    reopen: (chat) => dispatch({ type: "reopened", chat }),
    moreChats: () => readChats(store.getState().listing.next),
    olderMessages: (chat) => readHistory(chat, store.getState().threads[chat]?.previous ?? null),
    send,
    edit: ({ chat, parent }, text, model) => write({ kind: "send", chat, text, parent: parent ?? chat, reply: null, model }),
    regenerate: ({ chat, id }, model) => write({ kind: "regenerate", chat, text: "", parent: null, reply: id, model }),
    retry: (id) => dispatch({ type: "retried", id }),
    discard: (id) => dispatch({ type: "discarded", id }),
    stopRun: (id) => dispatch({ type: "stopped", run: id }),
    choose: (message) => dispatch({ type: "chose", message }),
    rename: (chat, title) => attempt(async () => dispatch({ type: "renamed", chat: await api.rename(chat, title) })),
    remove: (chat) => attempt(async () => (await api.remove(chat), dispatch({ type: "deleted", chat }))),
    dismiss: () => notice(null),
  };
}
