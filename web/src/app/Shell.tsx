import { useEffect, useState } from "react";
import { ChatList } from "../features/chats/ChatList";
import { Composer } from "../features/composer/Composer";
import { Conversation } from "../features/conversation/Conversation";
import { Account } from "../features/settings/Settings";
import { Link } from "../shared/address";
import { useAppState, useSession, useWords } from "../shared/context";
import { Icon, IconButton, Wordmark } from "../shared/ui";
import { Connection, Notice } from "./Connection";

/** The page of somebody who is signed in: the list at the side (a drawer on a phone), the chat beside it. */
export function Shell() {
  const words = useWords();
  const [drawer, setDrawer] = useState(false);
  const fresh = useAppState((state) => state.open === null);
  const close = () => setDrawer(false);
  useEscapeCloses(drawer, close);
  return (
    <div className="flex h-full">
      <a href="#composer" className="sr-only z-50 rounded-lg bg-raised px-4 py-2 focus:not-sr-only focus:absolute focus:top-2 focus:left-2">
        {words.chats.skip}
      </a>
      {drawer && <div className="fixed inset-0 z-20 bg-black/40 md:hidden" onClick={close} aria-hidden="true" />}
      <Sidebar shown={drawer} onClose={close} />
      <main className={`flex min-w-0 flex-1 flex-col ${fresh ? "pb-[24vh]" : ""}`}>
        <Header onMenu={() => setDrawer(true)} />
        <Conversation />
        <Notice />
        <Composer />
      </main>
    </div>
  );
}

function Sidebar({ shown, onClose }: { shown: boolean; onClose: () => void }) {
  const words = useWords();
  const session = useSession();
  const place = shown ? "translate-x-0" : "-translate-x-full max-md:invisible";

  function fresh() {
    session.open(null);
    onClose();
  }

  return (
    <aside
      className={`fixed inset-y-0 left-0 z-30 flex w-72 max-w-[85vw] flex-col gap-3 border-r border-line bg-sunken p-3 transition-[translate,visibility] duration-200 md:static md:translate-x-0 ${place}`}
    >
      <div className="flex items-center justify-between pl-2.5">
        <Wordmark />
        <IconButton icon="close" label={words.chats.closeList} className="md:hidden" onClick={onClose} />
      </div>
      <button
        type="button"
        data-testid="new-chat"
        className="flex items-center gap-2.5 rounded-xl border border-line bg-raised px-3 py-2 text-sm font-medium transition-colors hover:bg-hover"
        onClick={fresh}
      >
        <Icon name="plus" />
        {words.chats.fresh}
      </button>
      <ChatList onPick={onClose} />
      <div className="flex flex-col gap-2 border-t border-line px-1 pt-3">
        <CockpitLink />
        <Account />
      </div>
    </aside>
  );
}

function CockpitLink() {
  const words = useWords();
  const admin = useAppState((state) => state.user?.role === "admin");
  if (!admin) return null;
  return (
    <Link to="/cockpit" data-testid="cockpit-link" className="flex items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-sm hover:bg-hover">
      <Icon name="pulse" />
      {words.cockpit}
    </Link>
  );
}

function Header({ onMenu }: { onMenu: () => void }) {
  const words = useWords();
  const title = useAppState((state) => state.listing.items.find((chat) => chat.id === state.open)?.title ?? "");
  return (
    <header className="flex h-13 shrink-0 items-center gap-2 px-3 sm:px-5">
      <IconButton icon="menu" label={words.chats.openList} data-testid="open-list" className="md:hidden" onClick={onMenu} />
      <h1 className="min-w-0 flex-1 truncate text-sm font-medium text-soft" data-testid="chat-title">
        {title}
      </h1>
      <Connection />
    </header>
  );
}

function useEscapeCloses(open: boolean, close: () => void): void {
  useEffect(() => {
    if (!open) return;
    const pressed = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      close();
    };
    window.addEventListener("keydown", pressed, { capture: true });
    return () => window.removeEventListener("keydown", pressed, { capture: true });
  });
}
