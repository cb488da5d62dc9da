import { memo, useState } from "react";
import { useStore } from "zustand";
import { Spinner } from "../../shared/ui";
import { Figures } from "./Figures";
import { Away } from "./LinkState";
import { GatewayCard, PoolCard } from "./Cards";
import { count } from "./figures";
import { byName, crews, healthOf, pace } from "./picture";
import { Plots } from "./Plots";
import { WorkerDialog } from "./WorkerDialog";
import { CrewCard } from "./Workers";
import { Wires } from "./Wires";
import { useCockpitWords } from "./words";
import type { ReactNode } from "react";
import type { Admin, Overview } from "../../admin";
import type { Feed } from "./feed";
import type { Health } from "./picture";
import type { Words } from "./words";
import type { Wire } from "./Wires";
import "./map.css";

/** Where everything is and how it flows: gateways, queues, workers; under it the last minutes. */
export function LiveMap({ admin, feed }: { admin: Admin; feed: Feed }) {
  const words = useCockpitWords();
  const link = useStore(feed.store, (picture) => picture.link);
  const overview = useStore(feed.store, (picture) => picture.overview);
  return (
    <>
      <Away feed={feed} />
      {overview === null && link === "asking" && <Spinner label={words.asking} />}
      {overview !== null && (
        <div className="cockpit-picture" data-testid="picture" data-old={link === "away"}>
          <Figures overview={overview} />
          <Drawing admin={admin} overview={overview} />
          <Plots feed={feed} />
        </div>
      )}
    </>
  );
}

const MANY = 24;

const Drawing = memo(function Drawing({ admin, overview }: { admin: Admin; overview: Overview }) {
  const words = useCockpitWords();
  const [chosen, choose] = useState<string | null>(null);
  const gateways = [...overview.gateways].sort((a, b) => byName(a.name, b.name));
  const pools = [...overview.pools].sort((a, b) => byName(a.pool, b.pool));
  const groups = crews(overview.workers);
  const dense = overview.workers.length > MANY;
  const worker = overview.workers.find((one) => one.name === chosen);
  return (
    <section className="cockpit-map" aria-label={words.map} data-dense={dense}>
      <Wires wires={wiresOf(overview)} />
      <Column title={words.gateways} count={gateways.length} empty={words.noGateways} notes={unwell(gateways, words)}>
        {gateways.map((gateway) => (
          <GatewayCard key={gateway.name} gateway={gateway} />
        ))}
      </Column>
      <Column title={words.pools} count={pools.length} empty={words.noPools}>
        {pools.map((pool) => (
          <PoolCard key={pool.pool} pool={pool} />
        ))}
      </Column>
      <Column title={words.workers} count={overview.workers.length} empty={words.noWorkers} notes={unwell(overview.workers, words)}>
        {groups.map((crew) => (
          <CrewCard key={crew.key} crew={crew} dense={dense} alone={groups.length === 1} onChoose={choose} />
        ))}
      </Column>
      {worker && <WorkerDialog admin={admin} worker={worker} now={overview.now} onClose={() => choose(null)} />}
    </section>
  );
});

interface ColumnProps {
  readonly title: string;
  readonly count: number;
  readonly empty: string;
  /** How many are not well, in words. */
  readonly notes?: readonly (readonly [Health, string])[];
  readonly children: ReactNode;
}

function Column({ title, count: number, empty, notes = [], children }: ColumnProps) {
  return (
    <div className="cockpit-column">
      <h2>
        {title} <span>{number}</span>
        {notes.map(([health, text]) => (
          <span key={health} className="cockpit-note" data-health={health}>
            {text}
          </span>
        ))}
      </h2>
      {number === 0 ? <p className="cockpit-empty">{empty}</p> : children}
    </div>
  );
}

function unwell(processes: readonly Parameters<typeof healthOf>[0][], words: Words): [Health, string][] {
  const kinds = ["draining", "silent"] as const;
  const counted = kinds.map((kind) => [kind, processes.filter((one) => healthOf(one) === kind).length] as const);
  return counted.filter(([, number]) => number > 0).map(([kind, number]) => [kind, `${count(number, words.tag)} ${words.health[kind]}`]);
}

/** All gateways feed all queues, so their lines meet in one place; a queue's lines lead to those who serve it. */
function wiresOf({ gateways, pools, workers, rates }: Overview): Wire[] {
  const live = gateways.filter((one) => one.alive).length;
  const running = pools.reduce((sum, pool) => sum + pool.running, 0);
  const into = gateways.map((gateway): Wire => {
    const pulse = gateway.alive ? pace((rates.accepted_per_second ?? 0) / live, false) : 0;
    return { from: `gateway ${gateway.name}`, to: "broker", pace: pulse, cut: !gateway.alive };
  });
  const through = pools.map((pool): Wire => {
    const share = running > 0 ? pool.running / running : 0;
    return { from: "broker", to: `pool ${pool.pool}`, pace: pace((rates.accepted_per_second ?? 0) * share, pool.queued > 0), cut: false };
  });
  const out = crews(workers).flatMap(({ key, pools: served, workers: members }) =>
    pools
      .filter((pool) => served.includes(pool.pool))
      .map((pool): Wire => {
        const share = running > 0 ? pool.running / running : 0;
        const there = members.some((worker) => worker.alive);
        const pulse = there ? pace((rates.answered_per_second ?? 0) * share, pool.running > 0) : 0;
        return { from: `pool ${pool.pool}`, to: `crew ${key}`, pace: pulse, cut: !there };
      }),
  );
  return [...into, ...through, ...out];
}
