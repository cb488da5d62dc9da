/** What outlives a reload: drafts, the messages not acknowledged yet, and choices. A browser may refuse to keep any. */
import type { Uuid } from "./protocol";
import type { Pending } from "./thread";

export type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export interface Keep {
  draft(user: Uuid, chat: Uuid | null): string;
  keepDraft(user: Uuid, chat: Uuid | null, text: string): void;
  pending(user: Uuid): Pending[];
  keepPending(user: Uuid, pending: Pending): void;
  forgetPending(user: Uuid, id: Uuid): void;
  /** At sign-out: nothing that the user wrote stays on this machine. */
  forgetUser(user: Uuid): void;
  choice(name: string): string | null;
  keepChoice(name: string, value: string | null): void;
}

/** One key for each pending message: tabs write side by side and never over one another. */
export function createKeep(shelf: Shelf): Keep {
  const draftKey = (user: Uuid, chat: Uuid | null): string => `prosa.${user}.draft.${chat ?? "new"}`;
  const pendingKey = (user: Uuid, id: Uuid): string => `prosa.${user}.pending.${id}`;
  const keys = (prefix: string): string[] => {
    const all = Array.from({ length: shelf.length }, (_, index) => shelf.key(index) ?? "");
    return all.filter((key) => key.startsWith(prefix)).sort();
  };
  const put = (key: string, value: string | null): void => {
    try {
      if (value === null || value === "") shelf.removeItem(key);
      else shelf.setItem(key, value);
    } catch {
      // A full or forbidden storage costs the draft after a reload, nothing else.
    }
  };
  return {
    draft: (user, chat) => shelf.getItem(draftKey(user, chat)) ?? "",
    keepDraft: (user, chat, text) => put(draftKey(user, chat), text),
    pending: (user) => keys(pendingKey(user, "")).flatMap((key) => restored(shelf.getItem(key))),
    keepPending: (user, pending) => put(pendingKey(user, pending.id), JSON.stringify(pending)),
    forgetPending: (user, id) => put(pendingKey(user, id), null),
    forgetUser: (user) => keys(`prosa.${user}.`).forEach((key) => put(key, null)),
    choice: (name) => shelf.getItem(`prosa.${name}`),
    keepChoice: (name, value) => put(`prosa.${name}`, value),
  };
}

/** The browser's storage, or memory where it is switched off. */
export function browserShelf(): Shelf {
  try {
    const shelf = window.localStorage;
    shelf.getItem("prosa");
    return shelf;
  } catch {
    return memoryShelf();
  }
}

export function memoryShelf(): Shelf {
  const held = new Map<string, string>();
  return {
    get length() {
      return held.size;
    },
    key: (index) => [...held.keys()][index] ?? null,
    getItem: (key) => held.get(key) ?? null,
    setItem: (key, value) => void held.set(key, value),
    removeItem: (key) => void held.delete(key),
  };
}

function restored(text: string | null): Pending[] {
  try {
    const pending = JSON.parse(text ?? "") as Pending;
    // Whether it had left before the reload is not known, so it counts as sent.
    return [{ ...pending, sent: true }];
  } catch {
    return [];
  }
}
