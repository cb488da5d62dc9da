/** From samples to the lines of a plot. Pure: numbers in, SVG path data out. */

export interface Frame {
  readonly width: number;
  readonly height: number;
  /** The times at the left and right edge, in milliseconds. */
  readonly from: number;
  readonly to: number;
  /** The value at the top edge. */
  readonly top: number;
}

export interface Point {
  readonly at: number;
  readonly value: number | null;
}

/** Longer than this between two points, and the line has a gap: nobody answered then. */
const GAP_MS = 6_500;

export function linePath(points: readonly Point[], frame: Frame): string {
  let pen = false;
  let last = -Infinity;
  const parts: string[] = [];
  for (const { at, value } of points) {
    if (value === null || at < frame.from) {
      pen = false;
      continue;
    }
    parts.push(`${pen && at - last <= GAP_MS ? "L" : "M"}${round(xOf(at, frame))} ${round(yOf(value, frame))}`);
    pen = true;
    last = at;
  }
  return parts.join("");
}

/** The same line closed along the bottom, for a tint under it; each stretch between gaps on its own. */
export function areaPath(points: readonly Point[], frame: Frame): string {
  const stretches = linePath(points, frame).split("M").filter(Boolean);
  return stretches.map((stretch) => closed(stretch, frame.height)).join("");
}

function closed(stretch: string, height: number): string {
  const corners = stretch.split("L");
  const x = (corner: string | undefined): string => corner?.split(" ")[0] ?? "0";
  return `M${stretch}L${x(corners.at(-1))} ${height}L${x(corners[0])} ${height}Z`;
}

export function xOf(at: number, { from, to, width }: Frame): number {
  return ((at - from) / (to - from)) * width;
}

export function yOf(value: number, { top, height }: Frame): number {
  return height - (Math.min(value, top) / top) * height;
}

const ROUND = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

/** The smallest round number that is not below `highest`. */
export function niceTop(highest: number): number {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = ROUND.find((one) => one * power >= highest * 0.999_999) ?? 10;
  return Number((step * power).toPrecision(2));
}

export function highest(series: readonly (readonly Point[])[], from: number): number {
  return Math.max(0, ...series.flatMap((points) => points.filter(({ at }) => at >= from).map(({ value }) => value ?? 0)));
}

/** The point nearest to a time, if one is near. */
export function nearest<T extends { readonly at: number }>(points: readonly T[], at: number): T | null {
  let best: T | null = null;
  for (const point of points) if (best === null || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
  return best !== null && Math.abs(best.at - at) <= GAP_MS ? best : null;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
