import { useState } from "react";
import { problemText, useWords } from "../../shared/context";
import { Button, Dialog } from "../../shared/ui";
import { problemOf } from "./asked";
import type { ReactNode } from "react";
import type { ApiError } from "../../api";

interface Props {
  readonly name: string;
  readonly label: ReactNode;
  readonly title: string;
  readonly text: string;
  readonly danger?: boolean;
  /** Why it makes no sense now; null where it does. */
  readonly pointless: string | null;
  readonly act: () => Promise<void>;
}

/** A button that asks first, and says in the same place what went wrong. */
export function ConfirmButton({ name, label, title, text, danger = false, pointless, act }: Props) {
  const [asking, ask] = useState(false);
  return (
    <>
      <Button data-testid={name} disabled={pointless !== null} title={pointless ?? undefined} onClick={() => ask(true)}>
        {label}
      </Button>
      {asking && <Confirm {...{ name, label, title, text, danger, act }} onEnd={() => ask(false)} />}
    </>
  );
}

function Confirm({ name, label, title, text, danger, act, onEnd }: Omit<Props, "pointless"> & { onEnd: () => void }) {
  const words = useWords();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<ApiError | null>(null);

  async function go() {
    setBusy(true);
    setProblem(null);
    try {
      await act();
      onEnd();
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  }

  return (
    <Dialog title={title} onClose={onEnd}>
      <p className="text-sm text-soft">{text}</p>
      {problem && (
        <p role="alert" data-testid="action-problem" data-code={problem.code} className="cockpit-problem">
          {problemText(words, problem)}
        </p>
      )}
      <div className="mt-5 flex justify-end gap-2">
        <Button onClick={onEnd}>{words.cancel}</Button>
        <Button look={danger ? "danger" : "solid"} data-testid={`confirm-${name}`} disabled={busy} onClick={() => void go()}>
          {label}
        </Button>
      </div>
    </Dialog>
  );
}
