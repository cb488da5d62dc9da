import { useEffect, useRef, useState } from "react";
import { ended } from "../../run";
import { branch } from "../../thread";
import { useAppState, useModel, useSession, useWords } from "../../shared/context";
import { Icon } from "../../shared/ui";
import type { KeyboardEvent } from "react";
import type { State } from "../../state";
import type { Uuid } from "../../protocol";

const FINE = "(pointer: fine)";

/** The run of the open chat that a stop means: the one that speaks, else the one that waits longest. */
function stoppable(state: State): Uuid | null {
  const live = Object.values(state.runs).filter((run) => run.chat === state.open && !ended(run.state));
  return (live.find((run) => run.state === "running") ?? live[0])?.id ?? null;
}

function isStopping(state: State): boolean {
  const run = stoppable(state);
  return run !== null && state.runs[run]?.stopping === true;
}

export function Composer() {
  const session = useSession();
  const open = useAppState((state) => state.open);
  const run = useAppState(stoppable);
  const [text, setText] = useDraft(open);
  const [model] = useModel();
  const field = useRef<HTMLTextAreaElement>(null);
  const ready = text.trim() !== "";

  useEffect(() => {
    // On a phone the keyboard would cover what was just opened.
    if (matchMedia(FINE).matches) field.current?.focus();
  }, [open]);
  useEscape(run === null ? null : () => session.stopRun(run));

  function send() {
    if (!ready) return;
    setText("");
    session.send(text, model, shownLeaf(session.store.getState()));
  }

  function pressed(event: KeyboardEvent) {
    // While an input method composes a word, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    send();
  }

  return (
    <form
      className="mx-auto w-full max-w-3xl px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] sm:px-6"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <Box field={field} text={text} onText={setText} onKey={pressed} ready={ready} run={run} />
      <Hint />
    </form>
  );
}

interface BoxProps {
  readonly field: React.RefObject<HTMLTextAreaElement | null>;
  readonly text: string;
  readonly onText: (text: string) => void;
  readonly onKey: (event: KeyboardEvent) => void;
  readonly ready: boolean;
  readonly run: Uuid | null;
}

function Box({ field, text, onText, onKey, ready, run }: BoxProps) {
  const { composer } = useWords();
  const round = "grid size-9 shrink-0 place-items-center rounded-full transition-colors";
  return (
    <div className="rounded-3xl border border-line bg-raised shadow-card focus-within:border-accent" onClick={() => field.current?.focus()}>
      <textarea
        ref={field}
        id="composer"
        rows={1}
        data-testid="composer"
        aria-label={composer.label}
        aria-describedby="composer-keys"
        placeholder={composer.placeholder}
        className="field-sizing-content block max-h-[40vh] min-h-12 w-full resize-none bg-transparent px-4.5 pt-3.5 pb-1 leading-relaxed outline-none placeholder:text-faint"
        value={text}
        onChange={(event) => onText(event.target.value)}
        onKeyDown={onKey}
      />
      <span id="composer-keys" className="sr-only">
        {composer.keys}
      </span>
      <div className="flex items-center gap-2 px-2.5 pb-2.5">
        <ModelChoice />
        <span className="flex-1" />
        {run !== null && <StopButton run={run} shape={round} />}
        {(run === null || ready) && (
          <button
            type="submit"
            data-testid="send"
            aria-label={composer.send}
            title={composer.send}
            disabled={!ready}
            className={`${round} bg-accent text-on-accent hover:bg-accent-strong disabled:bg-hover disabled:text-faint`}
          >
            <Icon name="send" className="size-5" />
          </button>
        )}
      </div>
    </div>
  );
}

/** On a phone a tap on it must not call the keyboard up, which a tap into the box does. */
function StopButton({ run, shape }: { run: Uuid; shape: string }) {
  const { composer } = useWords();
  const session = useSession();
  const stopping = useAppState(isStopping);
  return (
    <button
      type="button"
      data-testid="stop"
      aria-label={composer.stop}
      title={`${composer.stop} (Esc)`}
      disabled={stopping}
      className={`${shape} bg-ink text-paper hover:opacity-85 disabled:opacity-40`}
      onClick={(event) => {
        if (!matchMedia(FINE).matches) event.stopPropagation();
        session.stopRun(run);
      }}
    >
      <span className="size-3 rounded-xs bg-current" />
    </button>
  );
}

function ModelChoice() {
  const { composer } = useWords();
  const [model, models, choose] = useModel();
  if (models.length < 2) return null;
  return (
    <select
      aria-label={composer.model}
      data-testid="model"
      className="max-w-44 truncate rounded-full bg-transparent px-2.5 py-1.5 text-sm text-soft hover:bg-hover hover:text-ink"
      value={model ?? models[0]}
      onClick={(event) => event.stopPropagation()}
      onChange={(event) => choose(event.target.value)}
    >
      {models.map((name) => (
        <option key={name}>{name}</option>
      ))}
    </select>
  );
}

function Hint() {
  const { composer } = useWords();
  const [model, models] = useModel();
  const demo = (model ?? models[0]) === "local";
  return (
    <p data-testid="hint" data-demo={demo} className="mt-2 min-h-4 text-center text-xs text-faint">
      {demo ? composer.demo : composer.mistakes}
    </p>
  );
}

/** The reply that the branch on the page ends with: what a new question follows. */
function shownLeaf(state: State): Uuid | null {
  const thread = state.open === null ? undefined : state.threads[state.open];
  const lines = thread ? branch(thread, []) : [];
  return lines.findLast(({ message }) => message.role === "assistant")?.message.id ?? null;
}

/** What is being written, kept for each chat over reloads. */
function useDraft(chat: Uuid | null): [string, (text: string) => void] {
  const { keep } = useSession();
  const user = useAppState((state) => state.user?.id ?? "");
  const [held, hold] = useState({ chat, text: keep.draft(user, chat) });
  const text = held.chat === chat ? held.text : keep.draft(user, chat);
  return [
    text,
    (next) => {
      hold({ chat, text: next });
      keep.keepDraft(user, chat, next);
    },
  ];
}

/** Esc stops, unless it closes something first. */
function useEscape(stop: (() => void) | null): void {
  const held = useRef(stop);
  useEffect(() => {
    held.current = stop;
  });
  useEffect(() => {
    const pressed = (event: globalThis.KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented && !document.querySelector("dialog[open]")) held.current?.();
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, []);
}
