import { memo } from "react";
import { HealthMark } from "./Cards";
import { Cells, cellsOf } from "./Cells";
import { count } from "./figures";
import { healthOf } from "./picture";
import { useCockpitWords } from "./words";
import type { Worker } from "../../admin";
import type { Crew } from "./picture";

interface Props {
  readonly crew: Crew<Worker>;
  /** There are so many that each gets less room. */
  readonly dense: boolean;
  readonly alone: boolean;
  readonly onChoose: (name: string) => void;
}

export function CrewCard({ crew, dense, alone, onChoose }: Props) {
  const words = useCockpitWords();
  const used = crew.workers.reduce((sum, worker) => sum + worker.slots_used, 0);
  const slots = crew.workers.reduce((sum, worker) => sum + worker.slots, 0);
  return (
    <section className="cockpit-crew" data-port={`crew ${crew.key}`} data-dense={dense}>
      <h3>
        <span className="cockpit-name" title={crew.pools.join(", ")}>
          {alone ? words.workerCount(count(crew.workers.length, words.tag)) : crew.pools.join(", ")}
        </span>
        <span className="cockpit-fine">{words.slots(count(used, words.tag), count(slots, words.tag))}</span>
      </h3>
      <ul>
        {crew.workers.map((worker) => (
          <WorkerTile key={worker.name} worker={worker} dense={dense} onChoose={onChoose} />
        ))}
      </ul>
    </section>
  );
}

const SHOWN = { roomy: { most: 64, perRow: 16, size: 7, gap: 3 }, dense: { most: 32, perRow: 16, size: 4.5, gap: 1.5 } };

const WorkerTile = memo(function WorkerTile({ worker, dense, onChoose }: { worker: Worker; dense: boolean; onChoose: (name: string) => void }) {
  const words = useCockpitWords();
  const health = healthOf(worker);
  const { most, ...shape } = dense ? SHOWN.dense : SHOWN.roomy;
  const slots = words.slots(count(worker.slots_used, words.tag), count(worker.slots, words.tag));
  return (
    <li>
      <button
        type="button"
        className="cockpit-worker"
        data-testid="worker"
        data-worker={worker.name}
        data-health={health}
        aria-label={`${worker.name}: ${words.health[health]}, ${slots}`}
        title={`${worker.name} · ${words.health[health]} · ${slots}`}
        onClick={() => onChoose(worker.name)}
      >
        <span className="cockpit-worker-head">
          <span className="cockpit-dot" />
          <span className="cockpit-name">{worker.name}</span>
          {!dense && <span className="cockpit-fine">{`${worker.slots_used}/${worker.slots}`}</span>}
        </span>
        <Cells {...shape} {...cellsOf(worker.slots, worker.slots_used, most)} />
        {!dense && <HealthMark health={health} seconds={worker.alive_seconds} />}
      </button>
    </li>
  );
});
