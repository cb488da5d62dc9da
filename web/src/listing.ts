/** The list of chats as far as it was read: newest first, in keyset pages. */
import type { ChatPage } from "./api";
import type { ChatView, Uuid } from "./protocol";

export interface Listing {
  readonly items: readonly ChatView[];
  /** The cursor of the next page. */
  readonly next: string | null;
  readonly loaded: boolean;
}

/** `more`: an older page behind what is known; else the newest page, read again. */
export function withPage(listing: Listing, page: ChatPage, more: boolean): Listing {
  const known = new Set(page.items.map((chat) => chat.id));
  const others = listing.items.filter((chat) => !known.has(chat.id));
  if (more || !listing.loaded) return { items: sorted([...others, ...page.items]), next: page.next, loaded: true };
  if (page.next === null) return { items: sorted([...page.items]), next: null, loaded: true };
  // What is newer than the page's end and not on it was deleted while we were away.
  const end = page.items.at(-1)?.updated_at ?? "";
  const older = others.filter((chat) => chat.updated_at <= end);
  return { items: sorted([...page.items, ...older]), next: older.length ? listing.next : page.next, loaded: true };
}

export function touched(listing: Listing, chat: ChatView): Listing {
  return { ...listing, items: sorted([...listing.items.filter((one) => one.id !== chat.id), chat]) };
}

/** Something was said in a chat: it goes to the top without being read again. */
export function bumped(listing: Listing, chat: Uuid, at: string): Listing {
  const found = listing.items.find((one) => one.id === chat);
  return found && found.updated_at < at ? touched(listing, { ...found, updated_at: at }) : listing;
}

export function removed(listing: Listing, chat: Uuid): Listing {
  return { ...listing, items: listing.items.filter((one) => one.id !== chat) };
}

function sorted(items: ChatView[]): ChatView[] {
  return items.sort((a, b) => (a.updated_at === b.updated_at ? (a.id < b.id ? 1 : -1) : a.updated_at < b.updated_at ? 1 : -1));
}
