import { useState } from "react";
import { useAppState, useSession, useWords } from "../../shared/context";
import { Button, IconButton, Spinner } from "../../shared/ui";
import { Question } from "./Question";
import { Reply } from "./Reply";
import { useAnnouncement } from "./useAnnouncement";
import { useBranch } from "./useBranch";
import { useEndOf } from "./useEndOf";
import type { Thread } from "../../thread";

/** The open chat; a greeting where there is none yet. */
export function Conversation() {
  const thread = useAppState((state) => (state.open === null ? undefined : state.threads[state.open]));
  const open = useAppState((state) => state.open);
  if (open === null) return <Greeting />;
  if (thread === undefined) return <Centred />;
  if (thread.status === "missing") return <Missing />;
  if (thread.status === "failed") return <Unread chat={thread.chat} />;
  return <Lines key={thread.chat} thread={thread} />;
}

function Lines({ thread }: { thread: Thread }) {
  const words = useWords();
  const lines = useBranch(thread);
  const last = lines.at(-1)?.message.id;
  const mine = useAppState((state) => state.pending.findLast((one) => one.chat === thread.chat)?.id);
  const { scroller, content, away, toEnd } = useEndOf(mine, lines[0]?.message.id);
  const [spoken, say] = useAnnouncement();
  const loading = thread.status === "loading" && lines.length === 0;
  return (
    <div className="relative min-h-0 flex-1">
      <div ref={scroller} className="relative h-full overflow-y-auto overscroll-contain [overflow-anchor:none]" data-testid="scroller">
        <div ref={content} role="log" aria-live="off" aria-label={words.conversation.label} className="mx-auto flex max-w-3xl flex-col gap-1 px-4 pt-4 pb-8 sm:px-6">
          {loading && <Spinner label={words.loading} />}
          {thread.previous !== null && <Older chat={thread.chat} />}
          {lines.map(({ message, siblings }) =>
            message.role === "user" ? (
              <Question key={message.id} message={message} siblings={siblings} />
            ) : (
              <Reply key={message.id} message={message} siblings={siblings} last={message.id === last} say={say} />
            ),
          )}
        </div>
      </div>
      <p role="status" className="sr-only select-none" data-testid="announcement">
        {spoken}
      </p>
      {away && (
        <IconButton
          icon="down"
          label={words.conversation.toEnd}
          data-testid="to-end"
          className="absolute bottom-3 left-1/2 size-9! -translate-x-1/2 rounded-full! border border-line bg-raised shadow-card"
          onClick={toEnd}
        />
      )}
    </div>
  );
}

function Older({ chat }: { chat: string }) {
  const words = useWords();
  const session = useSession();
  const [busy, setBusy] = useState(false);

  function read() {
    setBusy(true);
    void session.olderMessages(chat).finally(() => setBusy(false));
  }

  return (
    <Button className="self-center" data-testid="older-messages" disabled={busy} onClick={read}>
      {words.conversation.older}
    </Button>
  );
}

function Greeting() {
  const { conversation } = useWords();
  const name = useAppState((state) => state.user?.username ?? "");
  return (
    <div className="flex min-h-0 flex-1 flex-col items-center justify-end px-4 pb-8 text-center sm:pb-10" data-testid="greeting">
      <h2 className="max-w-full font-serif text-3xl font-medium tracking-tight break-words sm:text-4xl">{conversation.greeting(name)}</h2>
      <p className="mt-3 text-lg text-soft">{conversation.invitation}</p>
    </div>
  );
}

function Centred() {
  const words = useWords();
  return (
    <div className="grid flex-1 place-items-center">
      <Spinner label={words.loading} />
    </div>
  );
}

function Missing() {
  const words = useWords();
  const session = useSession();
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-4 px-4 text-center text-soft" data-testid="chat-missing">
      <p>{words.conversation.missing}</p>
      <Button onClick={() => session.open(null)}>{words.chats.fresh}</Button>
    </div>
  );
}

function Unread({ chat }: { chat: string }) {
  const words = useWords();
  const session = useSession();
  return (
    <div className="flex flex-1 flex-col items-center justify-center gap-4 px-4 text-center text-soft" data-testid="chat-unread">
      <p>{words.conversation.failed}</p>
      <Button onClick={() => session.reopen(chat)}>{words.retry}</Button>
    </div>
  );
}
