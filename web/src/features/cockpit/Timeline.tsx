import { clock, count, duration } from "./figures";
import { entries, spans } from "./story";
import { useCockpitWords } from "./words";
import type { Story } from "../../admin";
import type { Entry, Span } from "./story";
import type { Words } from "./words";

export function Timeline({ story }: { story: Story }) {
  const words = useCockpitWords();
  return (
    <section className="cockpit-story">
      <WhereTimeWent found={spans(story.timeline, new Date().toISOString())} />
      <h3>{words.timeline}</h3>
      <ol className="cockpit-timeline" data-testid="timeline">
        {entries(story.timeline).map((entry, index) => (
          <Step key={`${index} ${entry.what}`} entry={entry} words={words} />
        ))}
      </ol>
    </section>
  );
}

function Step({ entry, words }: { entry: Entry; words: Words }) {
  const name = entry.times > 1 ? words.savedTimes(entry.times) : (words.what[entry.what] ?? entry.what);
  return (
    <li data-testid="moment" data-what={entry.what}>
      <span className="cockpit-since">{entry.since === null ? "" : `+${duration(entry.since, words.tag)}`}</span>
      <span className="cockpit-step" aria-hidden="true" data-what={entry.what} />
      <span className="cockpit-told">
        <strong>{name}</strong>
        {entry.worker !== null && <span>{words.byWorker(entry.worker)}</span>}
        {entry.attempt !== null && entry.attempt > 0 && <span className="cockpit-fine">{words.attemptOf(entry.attempt)}</span>}
        {entry.detail !== null && <Detail entry={entry} words={words} />}
      </span>
      <time className="cockpit-fine" dateTime={entry.at}>
        {clock(entry.at, words.tag, true)}
      </time>
    </li>
  );
}

function Detail({ entry: { what, detail }, words }: { entry: Entry; words: Words }) {
  if (what === "checkpoint") return <span className="cockpit-fine">{words.characters(count(Number(detail), words.tag))}</span>;
  return <code>{detail}</code>;
}

/** The phases side by side, as wide as they were long. */
function WhereTimeWent({ found }: { found: readonly Span[] }) {
  const words = useCockpitWords();
  const all = found.reduce((sum, { seconds }) => sum + seconds, 0);
  if (all === 0) return null;
  return (
    <div className="cockpit-spans">
      <h3>
        {words.whereTimeWent} <span className="cockpit-fine">{words.inAll(duration(all, words.tag))}</span>
      </h3>
      <div className="cockpit-spanbar" aria-hidden="true">
        {found.map(({ phase, seconds }, index) => (
          <span key={index} data-phase={phase} style={{ flexGrow: seconds / all }} />
        ))}
      </div>
      <ul>
        {found.map(({ phase, seconds }, index) => (
          <li key={index} data-phase={phase}>
            {words.phases[phase]} <strong>{duration(seconds, words.tag)}</strong>
          </li>
        ))}
      </ul>
    </div>
  );
}
