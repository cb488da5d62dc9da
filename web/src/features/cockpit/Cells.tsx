import { memo } from "react";

interface Props {
  readonly count: number;
  readonly used: number;
  readonly perRow: number;
  readonly size: number;
  readonly gap: number;
  readonly tone?: "slots" | "queue";
}

/** So many little squares, the first of them filled: two paths, however many they are. */
export const Cells = memo(function Cells({ count, used, perRow, size, gap, tone = "slots" }: Props) {
  const step = size + gap;
  const [width, height] = [Math.min(count, perRow) * step - gap, Math.ceil(count / perRow) * step - gap];
  const square = (index: number): string => `M${(index % perRow) * step} ${Math.floor(index / perRow) * step}h${size}v${size}h-${size}z`;
  const squares = Array.from({ length: count }, (_, index) => square(index));
  return (
    <svg className="cockpit-cells" data-tone={tone} viewBox={`0 0 ${Math.max(width, 0)} ${Math.max(height, 0)}`} width={Math.max(width, 0)} aria-hidden="true">
      <path className="cockpit-free" d={squares.slice(used).join("")} />
      <path className="cockpit-used" d={squares.slice(0, used).join("")} />
    </svg>
  );
});

/** Where a worker has more slots than fit, each square stands for several; one that is in use is always seen. */
export function cellsOf(slots: number, used: number, most: number): { readonly count: number; readonly used: number } {
  const each = Math.max(1, Math.ceil(slots / most));
  return { count: Math.ceil(slots / each), used: used > 0 ? Math.min(Math.ceil(slots / each), Math.max(1, Math.round(used / each))) : 0 };
}
