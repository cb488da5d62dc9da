import { useStore } from "zustand";
import { count, duration, figure } from "./figures";
import { Plot } from "./Plot";
import { useCockpitWords } from "./words";
import type { Feed } from "./feed";
import type { Words } from "./words";
import type { Series } from "./Plot";

/** The last minutes: how much, how soon, how long, how many at once. */
export function Plots({ feed }: { feed: Feed }) {
  const words = useCockpitWords();
  const samples = useStore(feed.store, (picture) => picture.samples);
  const { perSecond, seconds, whole } = formats(words);
  return (
    <section className="cockpit-plots" aria-label={words.lastMinutes} data-testid="plots">
      <Plot title={words.throughput} unit={words.perSecond} samples={samples} series={THROUGHPUT(words)} format={perSecond} />
      <Plot title={words.firstText} unit={words.ofLastMinute} samples={samples} series={FIRST_TEXT(words)} format={seconds} />
      <Plot title={words.wholeRun} unit={words.ofLastMinute} samples={samples} series={WHOLE_RUN(words)} format={seconds} />
      <Plot title={words.inFlight} unit={words.now} samples={samples} series={IN_FLIGHT(words)} format={whole} />
    </section>
  );
}

const THROUGHPUT = (words: Words): Series[] => [
  { name: words.accepted, tone: "quiet", of: (sample) => sample.accepted_per_second },
  { name: words.answered, tone: "main", of: (sample) => sample.answered_per_second },
  { name: words.failed, tone: "bad", of: (sample) => sample.failed_per_second },
];
const FIRST_TEXT = (words: Words): Series[] => [
  { name: "p95", hint: words.most, tone: "second", of: (sample) => sample.first_token_p95_seconds },
  { name: "p50", hint: words.half, tone: "main", of: (sample) => sample.first_token_p50_seconds },
];
const WHOLE_RUN = (words: Words): Series[] => [
  { name: "p95", hint: words.most, tone: "second", of: (sample) => sample.run_p95_seconds },
  { name: "p50", hint: words.half, tone: "main", of: (sample) => sample.run_p50_seconds },
];
const IN_FLIGHT = (words: Words): Series[] => [
  { name: words.running, tone: "main", of: (sample) => sample.running },
  { name: words.queued, tone: "second", of: (sample) => sample.queued },
  { name: words.waiting, tone: "quiet", of: (sample) => sample.waiting },
];

function formats({ tag }: Words) {
  return {
    perSecond: (value: number | null) => figure(value, tag),
    seconds: (value: number | null) => duration(value, tag),
    whole: (value: number | null) => (value === null ? "–" : count(value, tag)),
  };
}
