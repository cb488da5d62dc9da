import { memo } from "react";
import { Cells } from "./Cells";
import { count, duration } from "./figures";
import { fullness, healthOf } from "./picture";
import { useCockpitWords } from "./words";
import type { Gateway, Pool } from "../../admin";
import type { Health } from "./picture";

export const GatewayCard = memo(function GatewayCard({ gateway }: { gateway: Gateway }) {
  const words = useCockpitWords();
  const health = healthOf(gateway);
  return (
    <article className="cockpit-card" data-port={`gateway ${gateway.name}`} data-health={health} data-testid="gateway">
      <h3>
        <span className="cockpit-dot" aria-hidden="true" />
        <span className="cockpit-name" title={gateway.name}>
          {gateway.name}
        </span>
        <HealthMark health={health} seconds={gateway.alive_seconds} />
      </h3>
      <p>
        {words.sockets(count(gateway.sockets, words.tag))} · {words.watched(count(gateway.watched, words.tag))}
      </p>
      <p className="cockpit-fine" title={`${gateway.host} · ${gateway.version}`}>
        {gateway.host} · {gateway.version}
      </p>
    </article>
  );
});

const BEADS = 44;
const LONG_SECONDS = 10;

export const PoolCard = memo(function PoolCard({ pool }: { pool: Pool }) {
  const words = useCockpitWords();
  const late = (pool.oldest_seconds ?? 0) >= LONG_SECONDS;
  return (
    <article className="cockpit-card" data-port={`pool ${pool.pool}`} data-testid="pool" data-pool={pool.pool} data-late={late} data-health={pool.slots === 0 ? "silent" : "well"}>
      <h3>
        <span className="cockpit-name" title={pool.pool}>
          {pool.pool}
        </span>
        {pool.oldest_seconds !== null && pool.slots > 0 && <span className="cockpit-mark">{words.oldest(duration(pool.oldest_seconds, words.tag))}</span>}
        {pool.slots === 0 && <span className="cockpit-mark">{words.nobody}</span>}
      </h3>
      <p className="cockpit-line">
        <strong>{count(pool.queued, words.tag)}</strong> {words.inLine}
      </p>
      <Cells count={BEADS} used={Math.min(BEADS, pool.queued)} perRow={BEADS / 2} size={7} gap={3} tone="queue" />
      <p className="cockpit-line">
        <strong>{count(pool.running, words.tag)}</strong> {words.beingAnswered}
      </p>
      <div className="cockpit-bar" role="img" aria-label={words.slots(count(pool.slots_used, words.tag), count(pool.slots, words.tag))}>
        <span style={{ transform: `scaleX(${fullness(pool)})` }} />
      </div>
      <p className="cockpit-fine">{words.slots(count(pool.slots_used, words.tag), count(pool.slots, words.tag))}</p>
    </article>
  );
});

/** Says nothing while all is well. */
export function HealthMark({ health, seconds }: { health: Health; seconds: number }) {
  const words = useCockpitWords();
  if (health === "well") return null;
  const text = health === "silent" ? words.silentFor(duration(seconds, words.tag)) : words.health.draining;
  return <span className="cockpit-mark">{text}</span>;
}
