import { useEffect, useState } from "react";
import { problemText, useAppState, useSession, useWords } from "../shared/context";
import { IconButton } from "../shared/ui";
import type { Link } from "../client";

const PATIENCE_MS = 700;

const DOTS: Record<Link, string> = {
  live: "bg-accent",
  connecting: "bg-warn",
  offline: "bg-danger",
  refused: "bg-danger",
  "signed-out": "bg-danger",
};

/** The truth about the connection: a quiet dot while all is well, words when it is not. */
export function Connection() {
  const { link: words } = useWords();
  const link = useAppState((state) => state.link);
  const waiting = useAppState((state) => state.pending.length > 0);
  const settled = useSettled(link);
  const text = { ...words, "signed-out": words.signedOut }[settled];
  const more = settled === "offline" ? (waiting ? words.kept : words.trying) : "";
  const quiet = settled === "live";
  return (
    <p
      role="status"
      data-testid="connection"
      data-link={link}
      title={`${text} ${more}`.trim()}
      className={`flex max-w-[70%] items-center gap-2 rounded-full text-xs ${quiet ? "" : "border border-line bg-raised px-3 py-1 text-soft"}`}
    >
      <span aria-hidden="true" className={`size-2 shrink-0 rounded-full ${DOTS[settled]}`} />
      <span className={quiet ? "sr-only" : "truncate"}>
        {text} <span className="max-sm:sr-only">{more}</span>
      </span>
    </p>
  );
}

/** A gateway that is replaced is away for a moment: words that flash by would only worry. `data-link` shows it at once. */
function useSettled(link: Link): Link {
  const [settled, settle] = useState<Link>(link);
  useEffect(() => {
    const timer = setTimeout(() => settle(link), link === "live" ? 0 : PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [link]);
  return settled;
}

/** A refusal that belongs to no message. */
export function Notice() {
  const words = useWords();
  const session = useSession();
  const notice = useAppState((state) => state.notice);
  if (notice === null) return null;
  return (
    <div
      role="alert"
      data-testid="notice"
      data-code={notice.code}
      className="mx-auto mb-2 flex w-[calc(100%-1.5rem)] max-w-2xl items-center gap-3 rounded-xl bg-danger-tint py-1.5 pr-1.5 pl-4 text-sm text-danger"
    >
      <span className="min-w-0 flex-1">{problemText(words, notice)}</span>
      <IconButton icon="close" label={words.dismiss} onClick={() => session.dismiss()} />
    </div>
  );
}
