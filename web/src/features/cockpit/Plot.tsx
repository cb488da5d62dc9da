import { useState } from "react";
import { clock } from "./figures";
import { windowOf } from "./picture";
import { areaPath, highest, linePath, nearest, niceTop, xOf, yOf } from "./plot";
import { useCockpitWords } from "./words";
import type { PointerEvent } from "react";
import type { Frame } from "./plot";
import type { Sample } from "./picture";

export interface Series {
  readonly name: string;
  readonly hint?: string;
  readonly tone: "main" | "second" | "quiet" | "bad";
  readonly of: (sample: Sample) => number | null;
}

interface Props {
  readonly title: string;
  readonly unit: string;
  readonly samples: readonly Sample[];
  readonly series: readonly Series[];
  readonly format: (value: number | null) => string;
}

const SIZE = { width: 300, height: 100 };

/** Lines over the last minutes. The values stand in words beside them: of now, or of where the pointer is. */
export function Plot({ title, unit, samples, series, format }: Props) {
  const words = useCockpitWords();
  const [pointed, point] = useState<number | null>(null);
  const to = samples.at(-1)?.at ?? 0;
  const reach = windowOf(samples);
  const from = to - reach;
  const lines = series.map((one) => ({ ...one, points: samples.map((sample) => ({ at: sample.at, value: one.of(sample) })) }));
  const frame: Frame = { ...SIZE, from, to, top: niceTop(highest(lines.map(({ points }) => points), from)) };
  const shown = pointed === null ? samples.at(-1) : (nearest(samples, from + pointed * reach) ?? undefined);

  function follow(event: PointerEvent<HTMLElement>) {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    point(Math.min(1, Math.max(0, (event.clientX - left) / width)));
  }

  return (
    <figure className="cockpit-plot">
      <figcaption>
        <h3>{title}</h3>
        <span className="cockpit-fine">{pointed !== null && shown ? clock(shown.at, words.tag) : unit}</span>
      </figcaption>
      <ul className="cockpit-legend">
        {series.map((one) => (
          <li key={one.name} data-tone={one.tone} title={one.hint}>
            {one.name} <strong>{format(shown ? one.of(shown) : null)}</strong>
          </li>
        ))}
      </ul>
      <div className="cockpit-graph" aria-hidden="true" onPointerMove={follow} onPointerLeave={() => point(null)}>
        <svg viewBox={`0 0 ${SIZE.width} ${SIZE.height}`} preserveAspectRatio="none">
          <path className="cockpit-grid" d={`M0 0H${SIZE.width}M0 ${SIZE.height / 2}H${SIZE.width}M0 ${SIZE.height}H${SIZE.width}`} />
          <path className="cockpit-area" d={areaPath(lines.find(({ tone }) => tone === "main")?.points ?? [], frame)} />
          {lines.map(({ name, tone, points }) => (
            <path key={name} className="cockpit-curve" data-tone={tone} d={linePath(points, frame)} />
          ))}
          {pointed !== null && shown && <path className="cockpit-hair" d={`M${xOf(shown.at, frame)} 0V${SIZE.height}`} />}
        </svg>
        {shown && <Dots lines={lines} at={shown} frame={frame} />}
        <span className="cockpit-top">{format(frame.top)}</span>
      </div>
      <div className="cockpit-axis cockpit-fine" aria-hidden="true">
        <span>{words.minutesAgo(reach / 60_000)}</span>
        <span>{words.now}</span>
      </div>
    </figure>
  );
}

function Dots({ lines, at, frame }: { lines: readonly Series[]; at: Sample; frame: Frame }) {
  return lines.map(({ name, tone, of }) => {
    const value = of(at);
    if (value === null) return null;
    const place = { left: `${(xOf(at.at, frame) / frame.width) * 100}%`, top: `${(yOf(value, frame) / frame.height) * 100}%` };
    return <i key={name} className="cockpit-spot" data-tone={tone} style={place} />;
  });
}
