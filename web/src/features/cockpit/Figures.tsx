import { memo } from "react";
import { Link } from "../../shared/address";
import { count, duration, figure } from "./figures";
import { runsPath } from "./place";
import { useCockpitWords } from "./words";
import type { ReactNode } from "react";
import type { Overview } from "../../admin";

/** The few numbers that say whether people get their answers. */
export const Figures = memo(function Figures({ overview }: { overview: Overview }) {
  const words = useCockpitWords();
  const { counts, rates, workers, pools, dead_letters } = overview;
  const whole = (value: number): string => count(value, words.tag);
  const used = workers.reduce((sum, worker) => sum + worker.slots_used, 0);
  const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
  const oldest = Math.max(0, ...pools.map((pool) => pool.oldest_seconds ?? 0));
  const failing = (rates.failed_per_second ?? 0) > 0;
  return (
    <ul className="cockpit-figures" data-testid="figures">
      <Tile name="running" title={words.running} to={runsPath({ state: "running" })} value={whole(counts.running)}>
        {words.slots(whole(used), whole(slots))}
      </Tile>
      <Tile name="queued" title={words.queued} to={runsPath({ state: "queued" })} value={whole(counts.queued)} tone={oldest >= 10 ? "warn" : "calm"}>
        {oldest > 0 ? words.oldest(duration(oldest, words.tag)) : words.none}
      </Tile>
      <Tile name="waiting" title={words.waiting} to={runsPath({ state: "waiting" })} value={whole(counts.waiting)} hint={words.waitingHint}>
        {words.behind}
      </Tile>
      <Tile name="answered" title={words.answered} value={figure(rates.answered_per_second, words.tag)} unit="/s" tone={failing ? "bad" : "calm"}>
        {failing ? `${words.failed}: ${figure(rates.failed_per_second, words.tag)} /s` : words.ofLastMinute}
      </Tile>
      <Tile name="first-text" title={words.firstText} value={duration(rates.first_token_p95_seconds, words.tag)}>
        {words.most}
      </Tile>
      <DeadLetters letters={dead_letters} />
    </ul>
  );
});

function DeadLetters({ letters }: { letters: number | null }) {
  const words = useCockpitWords();
  const value = letters === null ? "?" : count(letters, words.tag);
  const text = letters === null ? words.unknown : letters === 0 ? words.none : words.seeDead;
  return (
    <Tile name="dead-letters" title={words.deadLetters} value={value} tone={letters ? "bad" : "calm"}>
      {text}
    </Tile>
  );
}

interface TileProps {
  readonly name: string;
  readonly title: string;
  readonly value: string;
  readonly unit?: string;
  readonly to?: string;
  readonly hint?: string;
  readonly tone?: "calm" | "warn" | "bad";
  readonly children: ReactNode;
}

function Tile({ name, title, value, unit, to, hint, tone = "calm", children }: TileProps) {
  const inside = (
    <>
      <span className="cockpit-figure-title">{title}</span>
      <span className="cockpit-figure-value" data-testid={`figure-${name}`}>
        {value}
        {unit && <small>{unit}</small>}
      </span>
      <span className="cockpit-figure-more" title={hint}>
        {children}
      </span>
    </>
  );
  return <li data-tone={tone}>{to === undefined ? <div>{inside}</div> : <Link to={to}>{inside}</Link>}</li>;
}
