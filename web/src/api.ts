/** The REST calls of the page: same origin, session cookie, problem details (RFC 9457). */
import type { ChatView, MessageView, UserView, Uuid } from "./protocol";

export interface Info {
  readonly sign_up: boolean;
  readonly first_account: boolean;
  readonly models: readonly string[];
  readonly version: string;
}

export interface ChatPage {
  readonly items: readonly ChatView[];
  readonly next: string | null;
}

export interface History {
  readonly id: Uuid;
  readonly title: string;
  readonly status: string;
  readonly messages: readonly MessageView[];
  readonly runs: readonly Uuid[];
  readonly previous: string | null;
}

export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A refused or failed call. Without an answer `status` is 0 and `code` is `unreachable`. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export interface Api {
  info(): Promise<Info>;
  me(): Promise<UserView>;
  register(credentials: Credentials): Promise<UserView>;
  login(credentials: Credentials): Promise<UserView>;
  logout(): Promise<void>;
  chats(cursor: string | null): Promise<ChatPage>;
  history(chat: Uuid, cursor: string | null): Promise<History>;
  rename(chat: Uuid, title: string): Promise<ChatView>;
  remove(chat: Uuid): Promise<void>;
}

const TIMEOUT_MS = 20_000;

/** One call: the answer's body, or an ApiError. `signal` ends it before its own deadline does. */
export type Call = <T>(method: string, path: string, body?: unknown, signal?: AbortSignal) => Promise<T>;

export function createCall(fetcher: typeof fetch): Call {
  return async <T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> => {
    const { status, ok, text } = await request(fetcher, method, path, body, signal);
    if (!ok) throw problem(status, text);
    return (text === "" ? undefined : JSON.parse(text)) as T;
  };
}

export function createApi(call: Call): Api {
  return {
    info: () => call("GET", "/api/info"),
    me: () => call("GET", "/api/me"),
    register: (credentials) => call("POST", "/api/auth/register", credentials),
    login: (credentials) => call("POST", "/api/auth/login", credentials),
    logout: () => call("POST", "/api/auth/logout"),
    chats: (cursor) => call("GET", `/api/chats${query(cursor)}`),
    history: (chat, cursor) => call("GET", `/api/chats/${chat}${query(cursor)}`),
    rename: (chat, title) => call("PATCH", `/api/chats/${chat}`, { title }),
    remove: (chat) => call("DELETE", `/api/chats/${chat}`),
  };
}

function query(cursor: string | null): string {
  return cursor === null ? "" : `?cursor=${encodeURIComponent(cursor)}`;
}

interface Answer {
  readonly status: number;
  readonly ok: boolean;
  readonly text: string;
}

async function request(fetcher: typeof fetch, method: string, path: string, body: unknown, signal?: AbortSignal): Promise<Answer> {
  const deadline = AbortSignal.timeout(TIMEOUT_MS);
  const init: RequestInit = { method, credentials: "same-origin", signal: signal ? AbortSignal.any([signal, deadline]) : deadline };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  try {
    const response = await fetcher(path, init);
    return { status: response.status, ok: response.ok, text: await response.text() };
  } catch (error) {
    throw new ApiError(0, "unreachable", String(error));
  }
}

function problem(status: number, text: string): ApiError {
  try {
    const { code, detail, title } = JSON.parse(text) as Partial<Record<"code" | "detail" | "title", string>>;
    return new ApiError(status, code ?? "internal", detail ?? title ?? "");
  } catch {
    return new ApiError(status, "internal", "");
  }
}
