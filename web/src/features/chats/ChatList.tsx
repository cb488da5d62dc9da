import { useState } from "react";
import { age } from "./age";
import { ChatItem } from "./ChatItem";
import { useAppState, useSession, useWords } from "../../shared/context";
import type { Age } from "./age";
import type { ChatView } from "../../protocol";

const AGES: readonly Age[] = ["today", "yesterday", "week", "older"];

/** The chats, newest first, in keyset pages. `onPick` is called when one was opened. */
export function ChatList({ onPick }: { onPick: () => void }) {
  const words = useWords();
  const { items, loaded } = useAppState((state) => state.listing);
  const now = new Date();
  const groups = AGES.map((name) => ({ name, chats: items.filter((chat) => age(chat.updated_at, now) === name) }));
  return (
    <nav aria-label={words.chats.title} data-testid="chat-list" className="-mx-1 min-h-0 flex-1 overflow-y-auto px-1 pb-4">
      {loaded && items.length === 0 && <p className="px-2 py-6 text-sm text-faint">{words.chats.empty}</p>}
      {groups.map(({ name, chats }) => chats.length > 0 && <Group key={name} title={words.chats[name]} chats={chats} onPick={onPick} />)}
      <More />
    </nav>
  );
}

function Group({ title, chats, onPick }: { title: string; chats: readonly ChatView[]; onPick: () => void }) {
  const open = useAppState((state) => state.open);
  return (
    <section className="mt-4 first:mt-1">
      <h2 className="px-2.5 pb-1 text-xs font-medium text-faint">{title}</h2>
      <ul className="flex flex-col gap-px">
        {chats.map((chat) => (
          <ChatItem key={chat.id} chat={chat} current={chat.id === open} onPick={onPick} />
        ))}
      </ul>
    </section>
  );
}

function More() {
  const words = useWords();
  const session = useSession();
  const more = useAppState((state) => state.listing.next !== null);
  const [busy, setBusy] = useState(false);
  if (!more) return null;
  return (
    <button
      type="button"
      data-testid="more-chats"
      disabled={busy}
      className="mt-3 w-full rounded-lg px-2.5 py-2 text-left text-sm text-soft hover:bg-hover hover:text-ink"
      onClick={() => {
        setBusy(true);
        void session.moreChats().finally(() => setBusy(false));
      }}
    >
      {words.chats.more}
    </button>
  );
}
