import { useAppState, useSession, useWords } from "../../shared/context";
import { IconButton } from "../../shared/ui";
import type { MessageView, Uuid } from "../../protocol";

/** ‹ 1/2 › between the versions of one turn. */
export function Turns({ message, siblings }: { message: MessageView; siblings: readonly Uuid[] }) {
  const { conversation } = useWords();
  const session = useSession();
  const messages = useAppState((state) => state.threads[message.chat]?.messages);
  const place = siblings.indexOf(message.id);
  if (siblings.length < 2) return null;
  const step = (by: number) => {
    const other = messages?.[siblings[place + by] ?? ""];
    return { disabled: other === undefined, onClick: () => other && session.choose(other) };
  };
  return (
    <span className="inline-flex items-center text-xs text-faint tabular-nums" data-testid="versions" data-place={place + 1} data-count={siblings.length}>
      <IconButton icon="left" label={conversation.previous} data-testid="version-previous" className="size-7!" {...step(-1)} />
      {place + 1}/{siblings.length}
      <IconButton icon="right" label={conversation.next} data-testid="version-next" className="size-7!" {...step(1)} />
    </span>
  );
}
