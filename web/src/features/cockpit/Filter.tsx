import { useState } from "react";
import { FILTERS } from "../../admin";
import { Link, go } from "../../shared/address";
import { Button, Icon } from "../../shared/ui";
import { runsPath } from "./place";
import { useCockpitWords } from "./words";
import type { FormEvent } from "react";
import type { Filters } from "../../admin";
import type { RunState } from "../../protocol";

const STATES: readonly RunState[] = ["waiting", "queued", "running", "done", "stopped", "failed"];
const FIELDS = FILTERS.filter((name) => name !== "state");

/** What is typed counts when it is sent off; a state counts at once. Both stand in the address. */
export function Filter({ filters }: { filters: Filters }) {
  const words = useCockpitWords();
  const [draft, write] = useState(filters);
  // Only a phone closes them: there they would push the runs off the screen.
  const [opened, open] = useState(() => FIELDS.some((name) => filters[name] !== undefined));

  function apply(event: FormEvent) {
    event.preventDefault();
    go(runsPath(draft));
  }

  return (
    <form className="cockpit-filter" aria-label={words.filters} data-testid="filters" onSubmit={apply}>
      <States filters={filters} />
      <button type="button" className="cockpit-more" aria-expanded={opened} data-testid="filters-open" onClick={() => open(!opened)}>
        {words.filters}
        <Icon name={opened ? "close" : "down"} className="size-4" />
      </button>
      <div className="cockpit-fields" data-open={opened}>
        {FIELDS.map((name) => (
          <label key={name}>
            {words[name]}
            <input
              data-testid={`filter-${name}`}
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
              value={draft[name] ?? ""}
              onChange={(event) => write({ ...draft, [name]: event.target.value })}
            />
          </label>
        ))}
        <Button type="submit" look="solid" data-testid="filter-apply">
          {words.apply}
        </Button>
        <Button data-testid="filter-clear" disabled={Object.keys(filters).length === 0} onClick={() => go(runsPath())}>
          {words.clear}
        </Button>
      </div>
    </form>
  );
}

function States({ filters }: { filters: Filters }) {
  const words = useCockpitWords();
  const { state, ...others } = filters;
  return (
    <ul className="cockpit-states" aria-label={words.state}>
      <li>
        <Link to={runsPath(others)} aria-current={state === undefined ? "true" : undefined}>
          {words.anyState}
        </Link>
      </li>
      {STATES.map((one) => (
        <li key={one}>
          <Link to={runsPath({ ...others, state: one })} data-testid={`state-${one}`} aria-current={state === one ? "true" : undefined}>
            <span className="cockpit-state-dot" data-state={one} aria-hidden="true" />
            {words.states[one]}
          </Link>
        </li>
      ))}
    </ul>
  );
}
