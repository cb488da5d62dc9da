import { useState } from "react";
import { Link } from "../../shared/address";
import { Dialog } from "../../shared/ui";
import { ConfirmButton } from "./ConfirmButton";
import { Facts } from "./Facts";
import { count, duration, secondsBetween } from "./figures";
import { healthOf } from "./picture";
import { runsPath } from "./place";
import { useCockpitWords } from "./words";
import type { Admin, Worker } from "../../admin";

interface Props {
  readonly admin: Admin;
  readonly worker: Worker;
  readonly now: string;
  readonly onClose: () => void;
}

export function WorkerDialog({ admin, worker, now, onClose }: Props) {
  const words = useCockpitWords();
  const [asked, ask] = useState(false);
  const health = healthOf(worker);
  const state = health === "silent" ? words.silentFor(duration(worker.alive_seconds, words.tag)) : words.health[health];
  const pointless = health === "silent" ? words.health.silent : health === "draining" || asked ? words.drainAsked : null;
  return (
    <Dialog title={worker.name} onClose={onClose}>
      <div data-testid="worker-dialog">
        <Facts
          facts={[
            [words.stateTitle, state],
            [words.slotsTitle, words.slots(count(worker.slots_used, words.tag), count(worker.slots, words.tag))],
            [words.serves, worker.pools.join(", ") || words.everyPool],
            [words.up, worker.started_at && duration(secondsBetween(worker.started_at, now), words.tag)],
            [words.host, worker.host],
            [words.version, worker.version],
          ]}
        />
        {asked && (
          <p role="status" className="cockpit-said">
            {words.drained}
          </p>
        )}
        <div className="mt-5 flex flex-wrap items-center justify-between gap-2">
          <Link to={runsPath({ worker: worker.name })} className="cockpit-textlink" data-testid="worker-runs">
            {words.showRuns}
          </Link>
          <ConfirmButton
            name="drain"
            label={words.drain}
            title={words.confirmDrain(worker.name)}
            text={words.confirmDrainText}
            pointless={pointless}
            act={() => admin.drain(worker.name).then(() => ask(true))}
          />
        </div>
      </div>
    </Dialog>
  );
}
