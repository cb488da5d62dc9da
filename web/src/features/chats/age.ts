export type Age = "today" | "yesterday" | "week" | "older";

/** Which part of the list a chat stands in, by the days of the person's own calendar. */
export function age(updated: string, now: Date): Age {
  const then = new Date(updated).getTime();
  // Through the calendar, not in steps of 24 hours: a day with a clock change has 23 or 25.
  const daysAgo = (days: number): number => new Date(now.getFullYear(), now.getMonth(), now.getDate() - days).getTime();
  if (then >= daysAgo(0)) return "today";
  if (then >= daysAgo(1)) return "yesterday";
  return then >= daysAgo(7) ? "week" : "older";
}
