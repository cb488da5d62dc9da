import { useEffect, useState } from "react";
import { useStore } from "zustand";
import { clock } from "./figures";
import { useCockpitWords } from "./words";
import type { Feed } from "./feed";

/** Whether what is shown is true now. It is read out when that changes, not each second. */
export function LinkState({ feed }: { feed: Feed }) {
  const words = useCockpitWords();
  const link = useStore(feed.store, (picture) => picture.link);
  const heard = useStore(feed.store, (picture) => picture.heard);
  const text = link === "live" ? words.live : link === "away" ? words.away : words.asking;
  return (
    <div className="cockpit-link" data-testid="cockpit-link-state" data-link={link}>
      <span className="cockpit-dot" aria-hidden="true" />
      <span role="status">{text}</span>
      {link === "live" && heard !== null && (
        <time className="cockpit-clock" aria-hidden="true">
          {clock(heard, words.tag)}
        </time>
      )}
    </div>
  );
}

/** Over a picture that is old: since when, and when it is asked again. */
export function Away({ feed }: { feed: Feed }) {
  const words = useCockpitWords();
  const { link, heard, again } = useStore(feed.store);
  const now = useNow(link === "away");
  if (link !== "away") return null;
  const seconds = again === null ? 0 : Math.max(0, Math.ceil((again - now) / 1_000));
  return (
    <div className="cockpit-away" role="alert" data-testid="cockpit-away">
      <strong>{words.away}.</strong> <span>{heard === null ? words.awayNever : words.awayMore(clock(heard, words.tag))}</span>{" "}
      <span aria-hidden="true">{words.again(seconds)}</span>
    </div>
  );
}

function useNow(ticking: boolean): number {
  const [now, tick] = useState(Date.now);
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(() => tick(Date.now()), 500);
    return () => clearInterval(timer);
  }, [ticking]);
  return now;
}
