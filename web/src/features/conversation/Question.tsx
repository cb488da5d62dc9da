import { memo, useState } from "react";
import { problemText, useAppState, useModel, useSession, useWords } from "../../shared/context";
import { Button, Icon, IconButton } from "../../shared/ui";
import { CopyButton } from "../../shared/CopyButton";
import { Turns } from "./Turns";
import type { MessageView, Uuid } from "../../protocol";
import type { Pending } from "../../thread";

interface Props {
  readonly message: MessageView;
  readonly siblings: readonly Uuid[];
}

type Sending = "sending" | "withdrawing" | "refused" | "accepted";

function sending(pending: Pending | undefined): Sending {
  if (pending === undefined) return "accepted";
  if (pending.refusal) return "refused";
  return pending.withdrawn ? "withdrawing" : "sending";
}

export const Question = memo(function Question({ message, siblings }: Props) {
  const words = useWords();
  const pending = useAppState((state) => state.pending.find((one) => one.id === message.id));
  const [editing, setEditing] = useState(false);
  const [left, setLeft] = useState(false);
  const state = sending(pending);

  function end() {
    setLeft(true);
    setEditing(false);
  }

  if (editing) return <Edit message={message} onEnd={end} />;
  return (
    <article
      data-testid="message"
      data-role="user"
      data-state={state}
      data-id={message.id}
      aria-label={words.conversation.you}
      className="group flex flex-col items-end gap-1"
    >
      <div
        data-testid="message-text"
        className={`max-w-[85%] rounded-2xl rounded-br-md bg-tint px-4 py-2.5 leading-relaxed break-words whitespace-pre-wrap ${state === "accepted" ? "" : "opacity-75"}`}
      >
        {message.text}
      </div>
      {pending ? (
        <Status pending={pending} state={state} />
      ) : (
        <div className="flex h-8 items-center gap-0.5">
          <span className="flex opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
            <CopyButton text={message.text} />
            <IconButton icon="pencil" label={words.conversation.edit} data-testid="edit" autoFocus={left} onClick={() => setEditing(true)} />
          </span>
          <Turns message={message} siblings={siblings} />
        </div>
      )}
    </article>
  );
});

function Status({ pending, state }: { pending: Pending; state: Sending }) {
  const words = useWords();
  const session = useSession();
  const live = useAppState((all) => all.link === "live");
  const { conversation } = words;
  const link = "font-medium underline-offset-4 hover:underline";
  if (state === "refused" && pending.refusal) {
    return (
      <p role="alert" data-testid="refusal" data-code={pending.refusal.code} className="flex max-w-[85%] flex-wrap items-center justify-end gap-x-3 text-right text-sm text-danger">
        <span>
          {conversation.notSent} {problemText(words, pending.refusal)}
        </span>
        <button type="button" className={link} data-testid="resend" onClick={() => session.retry(pending.id)}>
          {words.retry}
        </button>
        <button type="button" className={link} data-testid="discard" onClick={() => session.discard(pending.id)}>
          {conversation.discard}
        </button>
      </p>
    );
  }
  const text = state === "withdrawing" ? conversation.withdrawing : live ? conversation.sending : conversation.kept;
  return (
    <p className="flex h-8 items-center gap-3 text-xs text-faint" data-testid="sending">
      {text}
      {!live && state === "sending" && (
        <button type="button" className={link} data-testid="discard" onClick={() => session.discard(pending.id)}>
          {conversation.withdraw}
        </button>
      )}
    </p>
  );
}

function Edit({ message, onEnd }: { message: MessageView; onEnd: () => void }) {
  const words = useWords();
  const session = useSession();
  const [model] = useModel();
  const [text, setText] = useState(message.text);

  function ask() {
    if (!text.trim()) return;
    onEnd();
    session.edit(message, text, model);
  }

  return (
    <div className="rounded-2xl border border-line bg-raised p-3 shadow-card">
      <textarea
        autoFocus
        aria-label={words.conversation.editLabel}
        data-testid="edit-text"
        className="field-sizing-content max-h-80 min-h-20 w-full resize-none bg-transparent px-1.5 leading-relaxed outline-none"
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            ask();
          } else if (event.key === "Escape") {
            event.preventDefault();
            onEnd();
          }
        }}
      />
      <div className="mt-2 flex justify-end gap-2">
        <Button onClick={onEnd}>{words.cancel}</Button>
        <Button look="solid" data-testid="edit-ask" disabled={!text.trim()} onClick={ask}>
          <Icon name="send" className="size-4" />
          {words.conversation.ask}
        </Button>
      </div>
    </div>
  );
}
