/** What the page knows, what changes it, and what a change asks to be done. */
import type { ChatPage, History } from "./api";
import type { Link } from "./client";
import type { Listing } from "./listing";
import type { ChatView, ClientMessage, MessageView, ServerMessage, UserView, Uuid } from "./protocol";
import type { Run } from "./run";
import type { Pending, Thread } from "./thread";

export interface Problem {
  readonly code: string;
  readonly message: string;
}

export interface State {
  /** `unknown` until the gateway was asked. */
  readonly session: "unknown" | "out" | "in";
  readonly user: UserView | null;
  readonly link: Link;
  readonly models: readonly string[];
  readonly listing: Listing;
  /** The chat on the page; null: a new one. */
  readonly open: Uuid | null;
  readonly threads: Readonly<Record<Uuid, Thread>>;
  readonly runs: Readonly<Record<Uuid, Run>>;
  /** In the order in which they were written. */
  readonly pending: readonly Pending[];
  readonly notice: Problem | null;
}

export type Input =
  | { readonly type: "heard"; readonly message: ServerMessage }
  | { readonly type: "linked"; readonly link: Link; readonly code: number | null }
  | { readonly type: "signedIn"; readonly user: UserView; readonly pending: readonly Pending[] }
  | { readonly type: "signedOut" }
  | { readonly type: "opened"; readonly chat: Uuid | null }
  | { readonly type: "reopened"; readonly chat: Uuid }
  | { readonly type: "listed"; readonly page: ChatPage; readonly more: boolean }
  | { readonly type: "read"; readonly history: History; readonly older: boolean }
  | { readonly type: "unread"; readonly chat: Uuid; readonly missing: boolean }
  | { readonly type: "wrote"; readonly pending: Pending }
  | { readonly type: "retried"; readonly id: Uuid }
  | { readonly type: "discarded"; readonly id: Uuid }
  | { readonly type: "stopped"; readonly run: Uuid }
  | { readonly type: "chose"; readonly message: MessageView }
  | { readonly type: "renamed"; readonly chat: ChatView }
  | { readonly type: "deleted"; readonly chat: Uuid }
  | { readonly type: "noticed"; readonly notice: Problem | null };

export type Effect =
  | { readonly do: "transmit"; readonly frame: ClientMessage }
  | { readonly do: "read"; readonly chat: Uuid }
  | { readonly do: "list" };

export type Step = readonly [state: State, effects: readonly Effect[]];

/** Chats whose messages stay in memory; the least recently opened goes first. */
export const THREADS_KEPT = 12;

export const INITIAL: State = {
  session: "unknown",
  user: null,
  link: "connecting",
  models: [],
  listing: { items: [], next: null, loaded: false },
  open: null,
  threads: {},
  runs: {},
  pending: [],
  notice: null,
};
