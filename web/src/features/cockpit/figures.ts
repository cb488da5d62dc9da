/** Numbers and times as people read them. Pure; the language comes in as a tag. */

export function count(value: number, tag: string): string {
  return new Intl.NumberFormat(tag, value >= 100_000 ? { notation: "compact", maximumFractionDigits: 1 } : {}).format(value);
}

/** Two digits that matter, no more: 0.04, 1.2, 37, 1,240. */
export function figure(value: number | null, tag: string): string {
  if (value === null) return "–";
  const digits = value === 0 || value >= 10 ? 0 : value >= 1 ? 1 : 2;
  return new Intl.NumberFormat(tag, { maximumFractionDigits: digits }).format(value);
}

/** 240 ms, 3.1 s, 2 min 5 s, 3 h 20 min, 4 d. */
export function duration(seconds: number | null, tag: string): string {
  if (seconds === null) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 59.95) return `${new Intl.NumberFormat(tag, { maximumFractionDigits: seconds < 9.95 ? 2 : 1 }).format(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3_600) return both(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 172_800) return both(Math.floor(whole / 3_600), "h", Math.floor((whole % 3_600) / 60), "min");
  return `${Math.floor(whole / 86_400)} d`;
}

function both(large: number, unit: string, small: number, part: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${part}`;
}

export function secondsBetween(from: string | null, to: string | null): number | null {
  return from === null || to === null ? null : Math.max(0, (Date.parse(to) - Date.parse(from)) / 1_000);
}

export function clock(at: string | number, tag: string, milliseconds = false): string {
  const digits = milliseconds ? ({ fractionalSecondDigits: 3 } as const) : {};
  return new Intl.DateTimeFormat(tag, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", ...digits }).format(new Date(at));
}

/** The time of today, else the day too. */
export function moment(at: string, now: Date, tag: string): string {
  const then = new Date(at);
  if (then.toDateString() === now.toDateString()) return clock(at, tag);
  return `${new Intl.DateTimeFormat(tag, { day: "numeric", month: "short" }).format(then)}, ${clock(at, tag)}`;
}

/** The end of an id of version 7: its beginning is the time, alike for all that were made together. */
export function shortId(id: string): string {
  return id.slice(-8);
}
