/**
 * The socket: connects, backs off, resumes. It knows frames and time, nothing of chats and nothing of React.
 *
 * It keeps no queue. What is not acknowledged lives in the state, and `resume` says it all again behind every
 * `hello`; the gateway takes a repeated `send` for the same message. So a frame sent while away may be dropped here.
 */
import { SUBPROTOCOL } from "./protocol";
import type { ClientMessage, ServerMessage } from "./protocol";

export type Link = "connecting" | "live" | "offline" | "refused" | "signed-out";

export const CLOSE = { tooBig: 1009, goingAway: 1012, overloaded: 1013, signedOut: 4401, forbidden: 4403 } as const;

export interface Socket {
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

export interface ClientOptions {
  readonly url: string;
  readonly open: (url: string, subprotocol: string) => Socket;
  /** A number from 0 to 1, for jitter. */
  readonly random: () => number;
  /** What to say behind `hello`: watch what is open, send again what is not acknowledged, stop what shall end. */
  readonly resume: () => readonly ClientMessage[];
  /** A harmless question that must be answered, to learn whether a silent socket lives; null: there is none. */
  readonly probe: () => ClientMessage | null;
  /** Whether an answer is awaited: then long silence is suspicious, for a frozen server closes nothing. */
  readonly awaiting: () => boolean;
  readonly onMessage: (message: ServerMessage) => void;
  /** `welcome` is false where a connection ended before its `hello`: perhaps nobody is signed in. */
  readonly onLink: (link: Link, close: { code: number; welcome: boolean } | null) => void;
}

export interface Client {
  start(): void;
  stop(): void;
  /** Sends now, or not at all: `resume` repeats what matters. */
  send(frame: ClientMessage): void;
  /** The network came back or the page woke up: try at once, or find out whether the socket still lives. */
  nudge(): void;
}

const HELLO_MS = 10_000;
const ANSWER_MS = 15_000;
const PROBE_MS = 5_000;
const QUIET_MS = 8_000;
const STEADY_MS = 10_000;
const QUICK_MS = 1_000;
const BACKOFF = { base: 500, cap: 15_000 } as const;
const OVERLOADED = { base: 5_000, cap: 60_000 } as const;
const ANSWERED: ReadonlySet<ClientMessage["type"]> = new Set(["send", "regenerate", "watch"]);

type Timer = ReturnType<typeof setTimeout>;

export function createClient(options: ClientOptions): Client {
  let socket: Socket | null = null;
  let live = false;
  let running = false;
  let failures = 0;
  // Apart from the failures: a gateway that fails for other reasons must not make the next long wait longer.
  let overloads = 0;
  let retry: Timer | undefined;
  let silence: Timer | undefined;
  let steady: Timer | undefined;
  let quiet: Timer | undefined;

  function connect(): void {
    clearTimeout(retry);
    retry = undefined;
    if (failures + overloads === 0) options.onLink("connecting", null);
    const opened = options.open(options.url, SUBPROTOCOL);
    socket = opened;
    opened.onmessage = ({ data }) => receive(data);
    opened.onclose = ({ code }) => closed(code);
    expect(HELLO_MS);
  }

  /** Whatever arrives within the time is a sign of life; silence is a dead connection. */
  function expect(milliseconds: number): void {
    clearTimeout(silence);
    silence = setTimeout(drop, milliseconds);
  }

  function receive(data: unknown): void {
    clearTimeout(silence);
    silence = undefined;
    listen();
    const message = parsed(data);
    if (message === null) return;
    options.onMessage(message);
    // Behind it, because `hello` may say that somebody else is signed in now: then there is nothing to resume.
    if (message.type === "hello") welcome();
  }

  /** Wait for the next message, and ask whether the socket lives when an answer is awaited and none comes. */
  function listen(): void {
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      if (options.awaiting()) nudge();
      listen();
    }, QUIET_MS);
  }

  function welcome(): void {
    live = true;
    steady = setTimeout(() => (failures = overloads = 0), STEADY_MS);
    options.onLink("live", null);
    for (const frame of options.resume()) send(frame);
  }

  function drop(): void {
    const dead = socket;
    release();
    dead?.close();
    closed(1006);
  }

  /** Lets go of the socket: events that it still fires are of the past. */
  function release(): void {
    clearTimeout(silence);
    clearTimeout(steady);
    clearTimeout(quiet);
    silence = undefined;
    if (socket) socket.onmessage = socket.onclose = null;
    socket = null;
  }

  function closed(code: number): void {
    const close = { code, welcome: live };
    release();
    live = false;
    if (!running) return;
    if (code === CLOSE.signedOut || code === CLOSE.forbidden) {
      running = false;
      options.onLink(code === CLOSE.signedOut ? "signed-out" : "refused", close);
      return;
    }
    const wait = delay(code, close.welcome);
    if (code === CLOSE.overloaded) overloads += 1;
    else failures += 1;
    retry = setTimeout(connect, wait);
    options.onLink("offline", close);
  }

  function delay(code: number, welcomed: boolean): number {
    if (code === CLOSE.goingAway && welcomed) return options.random() * QUICK_MS;
    const [{ base, cap }, before] = code === CLOSE.overloaded ? [OVERLOADED, overloads] : [BACKOFF, failures];
    const ceiling = Math.min(cap, base * 2 ** before);
    return ceiling * (0.5 + options.random() / 2);
  }

  function send(frame: ClientMessage): void {
    if (!live || socket === null) return;
    socket.send(JSON.stringify(frame));
    if (ANSWERED.has(frame.type) && silence === undefined) expect(ANSWER_MS);
  }

  function nudge(): void {
    if (retry !== undefined) connect();
    const probe = live ? options.probe() : null;
    if (probe === null) return;
    send(probe);
    expect(PROBE_MS);
  }

  function start(): void {
    if (running) return;
    running = true;
    failures = 0;
    connect();
  }

  function stop(): void {
    running = live = false;
    clearTimeout(retry);
    retry = undefined;
    const open = socket;
    release();
    open?.close(1000);
  }

  return { start, stop, send, nudge };
}

/** A message of a later version has a type that the reducer skips; what is no message at all is skipped here. */
function parsed(data: unknown): ServerMessage | null {
  if (typeof data !== "string") return null;
  try {
    const value: unknown = JSON.parse(data);
    return isMessage(value) ? value : null;
  } catch {
    return null;
  }
}

function isMessage(value: unknown): value is ServerMessage {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
}
