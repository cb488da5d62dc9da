import { useEffect, useRef } from "react";
import { CopyButton } from "../../shared/CopyButton";
import { Link, go } from "../../shared/address";
import { problemText, useWords } from "../../shared/context";
import { Icon } from "../../shared/ui";
import { useAsked } from "./asked";
import { ConfirmButton } from "./ConfirmButton";
import { Facts } from "./Facts";
import { count } from "./figures";
import { runPath, runsPath } from "./place";
import { StateMark } from "./StateMark";
import { canStop, hasEnded } from "./story";
import { Timeline } from "./Timeline";
import { useCockpitWords } from "./words";
import type { Admin, Filters, RunDetail, Story } from "../../admin";
import type { ApiError } from "../../api";
import type { Uuid } from "../../protocol";
import "./run.css";

const EVERY_MS = 1_500;

/** One run: what it is, what happened to it, what can be done about it. Asked again until it has ended. */
export function RunPage({ admin, run }: { admin: Admin; run: Uuid }) {
  const words = useCockpitWords();
  const { value: story, problem, again } = useAsked(run, () => admin.story(run), (known) => (known && hasEnded(known.run) ? null : EVERY_MS));
  return (
    <div className="cockpit-run" data-testid="run-page" data-run={run} data-state={story?.run.state}>
      <Link to={runsPath()} className="cockpit-textlink">
        <Icon name="left" className="size-4" />
        {words.toRuns}
      </Link>
      {problem && <Trouble problem={problem} />}
      {story && <Whole admin={admin} story={story} onChange={again} />}
    </div>
  );
}

function Trouble({ problem }: { problem: ApiError }) {
  const words = useWords();
  const cockpit = useCockpitWords();
  return (
    <p role="alert" className="cockpit-problem" data-testid="run-problem" data-code={problem.code}>
      {problem.status === 404 ? cockpit.noRun : problemText(words, problem)}
    </p>
  );
}

function Whole({ admin, story, onChange }: { admin: Admin; story: Story; onChange: () => void }) {
  const words = useWords();
  const { run } = story;
  const heading = useRef<HTMLHeadingElement>(null);
  // Who came by the keyboard goes on from here, and a screen reader says where that is.
  useEffect(() => heading.current?.focus({ preventScroll: true }), []);
  return (
    <>
      <div className="cockpit-runhead">
        <StateMark state={run.state} />
        <h2 ref={heading} tabIndex={-1} title={run.id}>
          {run.id}
        </h2>
        <CopyButton text={run.id} />
        <Actions admin={admin} run={run} onChange={onChange} />
      </div>
      {run.code !== null && (
        <p className="cockpit-problem" data-testid="run-failure" data-code={run.code}>
          <strong>{problemText(words, { code: run.code, message: run.code })}</strong> <span lang="en">{run.error_message}</span> <code>{run.code}</code>
        </p>
      )}
      <div className="cockpit-runbody">
        <Timeline story={story} />
        <About run={run} />
      </div>
    </>
  );
}

function Actions({ admin, run, onChange }: { admin: Admin; run: RunDetail; onChange: () => void }) {
  const words = useCockpitWords();
  const over = hasEnded(run);
  return (
    <div className="cockpit-actions">
      <ConfirmButton
        name="stop"
        danger
        label={words.stop}
        title={words.confirmStop}
        text={words.confirmStopText}
        pointless={over ? words.over : canStop(run) ? null : words.stopAsked}
        act={() => admin.stop(run.id).then(onChange)}
      />
      <ConfirmButton
        name="retry"
        label={words.retry}
        title={words.confirmRetry}
        text={words.confirmRetryText}
        pointless={over ? null : words.notYet}
        act={() => admin.retry(run.id).then((fresh) => go(runPath(fresh)))}
      />
    </div>
  );
}

function About({ run }: { run: RunDetail }) {
  const words = useCockpitWords();
  const whole = (value: number | null): string => count(value ?? 0, words.tag);
  const tokens = run.prompt_tokens || run.completion_tokens ? words.tokensOf(whole(run.prompt_tokens), whole(run.completion_tokens)) : null;
  const filtered = (filters: Filters, text: string) => (
    <Link to={runsPath(filters)} className="cockpit-textlink">
      {text}
    </Link>
  );
  return (
    <aside className="cockpit-about">
      <Facts
        facts={[
          [words.user, filtered({ user: run.user.username }, run.user.username)],
          [words.chat, filtered({ chat: run.chat }, run.chat)],
          [words.model, run.model],
          [words.pool, run.pool],
          [words.worker, run.worker && filtered({ worker: run.worker }, run.worker)],
          [words.attempt, run.attempt > 0 ? run.attempt : null],
          [words.crashes, run.crashes > 0 ? words.times(run.crashes) : null],
          [words.dispatches, run.dispatches > 0 ? words.times(run.dispatches) : null],
          [words.tokens, tokens],
          [
            words.trace,
            <span key="trace" className="cockpit-trace">
              <code data-testid="trace">{run.trace}</code>
              <CopyButton text={run.trace} />
            </span>,
          ],
        ]}
      />
    </aside>
  );
}
