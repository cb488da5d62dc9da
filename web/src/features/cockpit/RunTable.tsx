import { Link } from "../../shared/address";
import { problemText, useWords } from "../../shared/context";
import { duration, moment, secondsBetween, shortId } from "./figures";
import { runPath } from "./place";
import { StateMark } from "./StateMark";
import { useCockpitWords } from "./words";
import type { RunView } from "../../admin";

/** One run a line; on a phone one a card, which stays a table for who hears it: hence the roles. */
export function RunTable({ runs, old }: { runs: readonly RunView[]; old: boolean }) {
  const words = useCockpitWords();
  const now = new Date();
  const heads = [words.state, words.run, words.user, words.model, words.worker, words.attempt, words.created, words.waited, words.took, words.outcome];
  return (
    <table role="table" className="cockpit-table" data-testid="run-table" data-old={old}>
      <thead role="rowgroup">
        <tr role="row">
          {heads.map((head) => (
            <th key={head} role="columnheader" scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {runs.map((run) => (
          <Row key={run.id} run={run} now={now} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ run, now }: { run: RunView; now: Date }) {
  const words = useCockpitWords();
  const page = useWords();
  const end = run.ended_at ?? now.toISOString();
  const outcome = run.code === null ? "" : problemText(page, { code: run.code, message: run.code });
  return (
    <tr role="row" data-testid="run-row" data-run={run.id} data-state={run.state}>
      <td role="cell">
        <StateMark state={run.state} />
      </td>
      <td role="cell">
        <Link to={runPath(run.id)} className="cockpit-rowlink" title={run.id}>
          {shortId(run.id)}
        </Link>
      </td>
      <td role="cell" className="cockpit-cut">{run.user.username}</td>
      <td role="cell" className="cockpit-cut">{run.model ?? run.pool}</td>
      <td role="cell" className="cockpit-cut">{run.worker ?? "–"}</td>
      <td role="cell" data-label={words.attempt} data-many={run.attempt > 1 || run.crashes > 0}>
        {run.attempt}
      </td>
      <td role="cell" data-label={words.created}>{moment(run.created_at, now, words.tag)}</td>
      <td role="cell" data-label={words.waited}>{duration(secondsBetween(run.created_at, run.started_at ?? end), words.tag)}</td>
      <td role="cell" data-label={words.took}>{duration(secondsBetween(run.started_at, end), words.tag)}</td>
      <td role="cell" className="cockpit-cut" title={outcome}>
        {run.code === null ? (run.finish === "length" ? "length" : "") : <code>{run.code}</code>}
      </td>
    </tr>
  );
}
