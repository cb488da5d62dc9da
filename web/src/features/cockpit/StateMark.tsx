import { useCockpitWords } from "./words";
import type { RunState } from "../../protocol";

export function StateMark({ state }: { state: RunState }) {
  const words = useCockpitWords();
  return (
    <span className="cockpit-state" data-state={state} data-testid="run-state">
      <span className="cockpit-state-dot" data-state={state} aria-hidden="true" />
      {words.states[state]}
    </span>
  );
}
