import { useMemo } from "react";
import { branch } from "../../thread";
import { useAppState } from "../../shared/context";
import type { Line, Thread } from "../../thread";

/** The lines of the open chat. They do not change while an answer grows: only its bubble reads the run. */
export function useBranch(thread: Thread | undefined): readonly Line[] {
  const pending = useAppState((state) => state.pending);
  return useMemo(() => (thread ? branch(thread, pending) : []), [thread, pending]);
}
