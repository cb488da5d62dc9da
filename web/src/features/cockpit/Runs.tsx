import { useState } from "react";
import { Link, go } from "../../shared/address";
import { problemText, useWords } from "../../shared/context";
import { Button, Icon, IconButton } from "../../shared/ui";
import { useAsked } from "./asked";
import { Filter } from "./Filter";
import { runsPath, trailOf } from "./place";
import { RunTable } from "./RunTable";
import { useCockpitWords } from "./words";
import type { Admin, Filters, RunPage } from "../../admin";
import "./runs.css";

const PER_PAGE = 50;
const REFRESH_MS = 5_000;

/** The runs, newest first, in keyset pages. What is shown stands in the address. */
export function Runs({ admin, filters, cursor }: { admin: Admin; filters: Filters; cursor: string | null }) {
  const [refreshing, refresh] = useState(false);
  const path = runsPath(filters, cursor);
  const asked = useAsked(path, () => admin.runs(filters, cursor, PER_PAGE), () => (refreshing ? REFRESH_MS : null));
  return (
    <div className="cockpit-runs">
      <Filter key={runsPath(filters)} filters={filters} />
      <Bar filters={filters} cursor={cursor} page={asked.value} busy={asked.busy} onAgain={asked.again} refreshing={refreshing} onRefreshing={refresh} />
      <Outcome asked={asked} />
    </div>
  );
}

function Outcome({ asked: { value, problem, busy } }: { asked: ReturnType<typeof useAsked<RunPage>> }) {
  const words = useWords();
  const cockpit = useCockpitWords();
  return (
    <>
      {problem && (
        <p role="alert" className="cockpit-problem" data-testid="runs-problem" data-code={problem.code}>
          {problemText(words, problem)}
        </p>
      )}
      {value && value.items.length > 0 && <RunTable runs={value.items} old={problem !== null} />}
      {value?.items.length === 0 && (
        <p className="cockpit-empty" data-testid="no-runs">
          {value.next === null ? cockpit.noRuns : cockpit.noRunsYet}
        </p>
      )}
      {value === null && busy && <p className="cockpit-empty">{words.loading}</p>}
    </>
  );
}

interface BarProps {
  readonly filters: Filters;
  readonly cursor: string | null;
  readonly page: RunPage | null;
  readonly busy: boolean;
  readonly refreshing: boolean;
  readonly onAgain: () => void;
  readonly onRefreshing: (on: boolean) => void;
}

function Bar({ filters, cursor, page, busy, refreshing, onAgain, onRefreshing }: BarProps) {
  const words = useCockpitWords();
  const trail = trailOf(history.state);
  const next = page?.next ?? null;

  function newer() {
    go(runsPath(filters, trail.at(-1) ?? null), { state: { trail: trail.slice(0, -1) } });
  }

  return (
    <div className="cockpit-pages">
      <nav aria-label={words.pages}>
        <Button data-testid="newer" disabled={cursor === null} onClick={newer}>
          <Icon name="left" />
          {trail.length > 0 || cursor === null ? words.newer : words.newest}
        </Button>
        <Button data-testid="older" disabled={next === null} onClick={() => go(runsPath(filters, next), { state: { trail: [...trail, cursor] } })}>
          {words.older}
          <Icon name="right" />
        </Button>
        {trail.length > 1 && (
          <Link to={runsPath(filters)} className="cockpit-textlink">
            {words.newest}
          </Link>
        )}
      </nav>
      <label className="cockpit-check">
        <input type="checkbox" data-testid="auto-refresh" checked={refreshing} onChange={(event) => onRefreshing(event.target.checked)} />
        {words.refreshing}
      </label>
      <IconButton icon="again" label={words.refresh} data-testid="refresh" aria-busy={busy} onClick={onAgain} />
    </div>
  );
}
