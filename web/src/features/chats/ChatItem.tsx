import { useRef, useState } from "react";
import { useSession, useWords } from "../../shared/context";
import { Button, Dialog, IconButton } from "../../shared/ui";
import type { MouseEvent } from "react";
import type { ChatView } from "../../protocol";

interface Props {
  readonly chat: ChatView;
  readonly current: boolean;
  readonly onPick: () => void;
}

export function ChatItem({ chat, current, onPick }: Props) {
  const [mode, setMode] = useState<"shown" | "renaming" | "deleting">("shown");
  const [byKey, setByKey] = useState(false);
  const shape = current ? "bg-hover font-medium" : "hover:bg-hover";

  function named(key: boolean) {
    setByKey(key);
    setMode("shown");
  }

  return (
    <li data-testid="chat-item" data-chat={chat.id} data-current={current} className={`group relative flex items-center rounded-lg ${shape}`}>
      {mode === "renaming" ? <NameField chat={chat} onEnd={named} /> : <Title chat={chat} current={current} onPick={onPick} />}
      {mode !== "renaming" && <Actions current={current} renamed={byKey} onRename={() => setMode("renaming")} onDelete={() => setMode("deleting")} />}
      {mode === "deleting" && <ConfirmDelete chat={chat} onEnd={() => setMode("shown")} />}
    </li>
  );
}

function Title({ chat, current, onPick }: Props) {
  const words = useWords();
  const session = useSession();

  function open(event: MouseEvent) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    session.open(chat.id);
    onPick();
  }

  return (
    <a
      href={`/c/${chat.id}`}
      data-testid="chat-link"
      aria-current={current ? "page" : undefined}
      className="min-w-0 flex-1 truncate rounded-lg px-2.5 py-1.5 text-sm"
      onClick={open}
    >
      {chat.title || words.chats.untitled}
    </a>
  );
}

interface ActionsProps {
  readonly current: boolean;
  /** A key ended the renaming: the focus comes back to where it was. */
  readonly renamed: boolean;
  readonly onRename: () => void;
  readonly onDelete: () => void;
}

function Actions({ current, renamed, onRename, onDelete }: ActionsProps) {
  const words = useWords();
  const seen = current ? "" : "sr-only group-hover:not-sr-only group-focus-within:not-sr-only";
  return (
    <div className={`flex shrink-0 pr-1 ${seen}`}>
      <IconButton icon="pencil" label={words.chats.rename} data-testid="chat-rename" autoFocus={renamed} className="size-7!" onClick={onRename} />
      <IconButton icon="trash" label={words.chats.delete} data-testid="chat-delete" className="size-7!" onClick={onDelete} />
    </div>
  );
}

function NameField({ chat, onEnd }: { chat: ChatView; onEnd: (byKey: boolean) => void }) {
  const words = useWords();
  const session = useSession();
  const [title, setTitle] = useState(chat.title);
  const over = useRef(false);

  // Leaving the field by a key also takes the focus away: only the first of the two counts.
  function end(byKey: boolean) {
    over.current = true;
    onEnd(byKey);
  }

  function keep(byKey: boolean) {
    if (over.current) return;
    end(byKey);
    if (title.trim() && title !== chat.title) void session.rename(chat.id, title.trim());
  }

  return (
    <input
      autoFocus
      aria-label={words.chats.newName}
      data-testid="chat-name"
      className="min-w-0 flex-1 rounded-lg border border-line bg-raised px-2 py-1 text-sm font-normal"
      value={title}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setTitle(event.target.value)}
      onBlur={() => keep(false)}
      onKeyDown={(event) => {
        if (event.key !== "Enter" && event.key !== "Escape") return;
        // Else the button that gets the focus would be pressed by the same key.
        event.preventDefault();
        if (event.key === "Enter") keep(true);
        else end(true);
      }}
    />
  );
}

function ConfirmDelete({ chat, onEnd }: { chat: ChatView; onEnd: () => void }) {
  const words = useWords();
  const session = useSession();
  return (
    <Dialog title={words.chats.confirmDelete(chat.title || words.chats.untitled)} onClose={onEnd}>
      <p className="text-sm text-soft">{words.chats.confirmDeleteText}</p>
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onEnd}>{words.cancel}</Button>
        <Button
          look="danger"
          data-testid="confirm-delete"
          onClick={() => {
            onEnd();
            void session.remove(chat.id);
          }}
        >
          {words.chats.delete}
        </Button>
      </div>
    </Dialog>
  );
}
