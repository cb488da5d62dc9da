import { memo, useLayoutEffect, useRef, useState } from "react";
import type { RefObject } from "react";

export interface Wire {
  /** The ports it joins; `broker` is the place between the columns where the gateways' lines meet. */
  readonly from: string;
  readonly to: string;
  readonly pace: 0 | 1 | 2 | 3;
  /** One of its ends is gone. */
  readonly cut: boolean;
}

interface Spot {
  readonly left: number;
  readonly right: number;
  readonly y: number;
}

type Spots = ReadonlyMap<string, Spot>;

/** Where a line meets a card: at the height of its first line of text. */
const PORT_PX = 24;

/** The lines behind the cards of the element they stand in. They are measured when something comes, goes or changes its size, not each second. */
export const Wires = memo(
  function Wires({ wires }: { wires: readonly Wire[] }) {
    const svg = useRef<SVGSVGElement>(null);
    const spots = useSpots(svg, wires.map(({ from, to }) => `${from}>${to}`).join("|"));
    const broker = spots.get("broker");
    return (
      <svg className="cockpit-wires" ref={svg} aria-hidden="true">
        {wires.map((wire) => (
          <Line key={`${wire.from}>${wire.to}`} wire={wire} spots={spots} />
        ))}
        {broker && <circle className="cockpit-broker" cx={broker.left} cy={broker.y} r="5" />}
      </svg>
    );
  },
  (before, after) => JSON.stringify(before.wires) === JSON.stringify(after.wires),
);

function Line({ wire, spots }: { wire: Wire; spots: Spots }) {
  const from = spots.get(wire.from);
  const to = spots.get(wire.to);
  if (!from || !to) return null;
  const bend = (to.left - from.right) / 2;
  const path = `M${from.right} ${from.y}C${from.right + bend} ${from.y} ${to.left - bend} ${to.y} ${to.left} ${to.y}`;
  return (
    <>
      <path className="cockpit-wire" data-cut={wire.cut} d={path} />
      {wire.pace > 0 && <path className="cockpit-flow" data-pace={wire.pace} d={path} />}
    </>
  );
}

function useSpots(svg: RefObject<SVGSVGElement | null>, ports: string): Spots {
  const [spots, set] = useState<Spots>(new Map());
  useLayoutEffect(() => {
    const element = svg.current?.parentElement;
    if (!element) return;
    const measure = (): void => set(measured(element));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.querySelectorAll("[data-port]").forEach((port) => observer.observe(port));
    return () => observer.disconnect();
  }, [svg, ports]);
  return spots;
}

function measured(box: HTMLElement): Spots {
  const origin = box.getBoundingClientRect();
  const spots = new Map<string, Spot>();
  for (const port of box.querySelectorAll<HTMLElement>("[data-port]")) {
    const { left, right, top } = port.getBoundingClientRect();
    spots.set(port.dataset.port ?? "", { left: Math.round(left - origin.left), right: Math.round(right - origin.left), y: Math.round(top - origin.top) + PORT_PX });
  }
  const broker = between(spots);
  if (broker) spots.set("broker", broker);
  return spots;
}

function between(spots: Spots): Spot | null {
  const of = (kind: string): Spot[] => [...spots].filter(([port]) => port.startsWith(kind)).map(([, spot]) => spot);
  const [gateways, pools] = [of("gateway "), of("pool ")];
  if (gateways.length === 0 || pools.length === 0) return null;
  const x = Math.round((Math.max(...gateways.map(({ right }) => right)) + Math.min(...pools.map(({ left }) => left))) / 2);
  const mean = (spots: Spot[]): number => spots.reduce((sum, { y }) => sum + y, 0) / spots.length;
  return { left: x, right: x, y: Math.round((mean(gateways) + mean(pools)) / 2) };
}
