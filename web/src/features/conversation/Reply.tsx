import { Suspense, lazy, memo, useEffect, useRef } from "react";
import { ended } from "../../run";
import { problemText, useAppState, useModel, useSession, useWords } from "../../shared/context";
import { Button, Icon, IconButton, Spinner } from "../../shared/ui";
import { CopyButton } from "../../shared/CopyButton";
import { Turns } from "./Turns";
import type { MessageView, Uuid } from "../../protocol";
import type { Run } from "../../run";
import type { Catalogue } from "../../shared/en";

const Markdown = lazy(() => import("./Markdown"));
const ANNOUNCED_CHARACTERS = 1_000;

interface Props {
  readonly message: MessageView;
  readonly siblings: readonly Uuid[];
  /** It stands at the end of the shown branch. */
  readonly last: boolean;
  /** Says something to a screen reader, once. */
  readonly say: (words: string) => void;
}

/** What is known of a reply: its run while that lives, else what is stored. */
type Known = Pick<MessageView, "text" | "state" | "attempt" | "seq" | "model">;

/** The only component that reads a run's text: when it grows, nothing else renders. */
export const Reply = memo(function Reply({ message, siblings, last, say }: Props) {
  const run = useAppState((state) => (message.run === null ? undefined : state.runs[message.run]));
  const known: Known = run && !ended(run.state) ? run : message;
  const over = ended(known.state);
  useSaidAtItsEnd(message, over, say);
  return (
    <article
      data-testid="message"
      data-role="assistant"
      data-state={known.state}
      data-id={message.id}
      data-run={message.run ?? undefined}
      data-attempt={known.attempt}
      data-seq={known.seq}
      aria-label={known.model ?? "Prosa"}
      aria-busy={!over}
      className="group mb-4 flex flex-col gap-1"
    >
      {known.text !== "" && <Text text={known.text} streaming={!over} />}
      {!over && known.text === "" && <Waiting run={run} />}
      {over && <Outcome message={message} />}
      {over ? <Actions message={message} siblings={siblings} last={last} /> : <Turns message={message} siblings={siblings} />}
    </article>
  );
});

function Text({ text, streaming }: { text: string; streaming: boolean }) {
  const plain = <div className="break-words whitespace-pre-wrap">{text}</div>;
  return (
    <div data-testid="message-text" className="min-w-0 leading-[1.7] break-words">
      <Suspense fallback={plain}>
        <Markdown text={text} streaming={streaming} />
      </Suspense>
    </div>
  );
}

function Waiting({ run }: { run: Run | undefined }) {
  const { conversation } = useWords();
  const session = useSession();
  if (run === undefined || run.state === "running" || run.state === "queued" && run.position === 0) {
    return <Spinner label={conversation.thinking} />;
  }
  const place = run.position > 0 ? conversation.place(run.position) : null;
  const eta = run.eta === null ? null : conversation.eta(run.eta);
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-sm text-soft" data-testid="queue" data-position={run.position}>
      <Spinner label={conversation.waiting} />
      <span>{[conversation.waiting, place, eta].filter(Boolean).join(" · ")}</span>
      <button
        type="button"
        data-testid="withdraw"
        disabled={run.stopping}
        className="font-medium text-accent underline-offset-4 hover:underline disabled:opacity-50"
        onClick={() => session.stopRun(run.id)}
      >
        {run.stopping ? conversation.withdrawing : conversation.withdraw}
      </button>
    </div>
  );
}

function Outcome({ message }: { message: MessageView }) {
  const words = useWords();
  if (message.state === "failed") return <Failed message={message} />;
  if (message.state === "stopped") {
    return <Mark name="stopped">{message.text ? words.conversation.stopped : words.conversation.withdrawn}</Mark>;
  }
  return message.finish === "length" ? <Mark name="length">{words.conversation.tooLong}</Mark> : null;
}

function Mark({ name, children }: { name: string; children: string }) {
  return (
    <p data-testid="mark" data-mark={name} className="mt-1 inline-flex items-center gap-1.5 self-start rounded-full border border-line px-2.5 py-0.5 text-xs text-soft">
      <span aria-hidden="true" className="size-1.5 rounded-xs bg-faint" />
      {children}
    </p>
  );
}

function Failed({ message }: { message: MessageView }) {
  const words = useWords();
  const session = useSession();
  const [model] = useModel();
  const [told, detail] = failureOf(words, message);
  return (
    <div data-testid="failure" data-code={message.code ?? "internal"} className="mt-1 flex flex-wrap items-center gap-x-4 gap-y-2 rounded-xl bg-danger-tint px-4 py-3 text-sm text-danger">
      <Icon name="warn" />
      <div className="min-w-0 flex-1 basis-48 break-words">
        <p>{told}</p>
        {detail !== "" && (
          <p lang="en" data-testid="failure-detail" className="mt-1 text-xs">
            {detail}
          </p>
        )}
      </div>
      {message.retryable && (
        <Button data-testid="retry" className="text-ink" onClick={() => session.regenerate(message, model)}>
          <Icon name="again" className="size-4" />
          {words.retry}
        </Button>
      )}
    </div>
  );
}

function Actions({ message, siblings, last }: Omit<Props, "say">) {
  const { conversation } = useWords();
  const session = useSession();
  const [model] = useModel();
  const seen = last ? "" : "opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100";
  return (
    <div className="-ml-2 flex h-8 items-center gap-0.5 text-xs text-faint">
      <Turns message={message} siblings={siblings} />
      <span className={`flex items-center gap-0.5 transition-opacity ${seen}`}>
        {message.text !== "" && <CopyButton text={message.text} />}
        <IconButton icon="again" label={conversation.again} data-testid="regenerate" onClick={() => session.regenerate(message, model)} />
        {message.model && <span className="ml-1.5">{message.model}</span>}
      </span>
    </div>
  );
}

/** Read out once, at the end: a screen reader that followed the words would stammer. */
function useSaidAtItsEnd(message: MessageView, over: boolean, say: (words: string) => void): void {
  const words = useWords();
  const lived = useRef(!over);
  useEffect(() => {
    if (!over || !lived.current) return;
    lived.current = false;
    say(spokenEnd(words, message));
  }, [over, message, words, say]);
}

function spokenEnd(words: Catalogue, message: MessageView): string {
  const { answered, stopped, withdrawn, tooLong } = words.conversation;
  const text = message.text && `${answered} ${message.text.slice(0, ANNOUNCED_CHARACTERS)}`;
  if (message.state === "failed") return [text, ...failureOf(words, message)].filter(Boolean).join(" ");
  if (message.state === "stopped") return text ? `${text} ${stopped}` : withdrawn;
  return message.finish === "length" ? `${text} ${tooLong}` : text;
}

/** Why a reply failed: in the person's language, then in the server's own words where they say more. */
function failureOf(words: Catalogue, message: MessageView): readonly [told: string, detail: string] {
  const detail = message.error ?? "";
  const problem = problemText(words, { code: message.code ?? "internal", message: detail });
  const told = message.text === "" ? problem : `${words.conversation.ended} ${problem}`;
  return [told, detail === problem ? "" : detail];
}
