import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { RefObject } from "react";

const NEAR_PX = 48;

interface End {
  readonly scroller: RefObject<HTMLDivElement | null>;
  readonly content: RefObject<HTMLDivElement | null>;
  /** The reader went up: what grows below does not pull the page along. */
  readonly away: boolean;
  readonly toEnd: () => void;
}

/**
 * Follows the end of growing content, but only while the reader is there. A new message of `mine` leads back to it;
 * older content that comes in front of the `first` leaves the reader at the same line.
 */
export function useEndOf(mine: string | undefined, first: string | undefined): End {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const height = useRef(0);
  const [away, setAway] = useState(false);

  const toEnd = useCallback(() => {
    following.current = true;
    setAway(false);
    const element = scroller.current;
    if (element) element.scrollTop = element.scrollHeight;
  }, []);

  useLayoutEffect(toEnd, [mine, toEnd]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element && !following.current) element.scrollTop += element.scrollHeight - height.current;
  }, [first]);

  useEffect(() => {
    const [outer, inner] = [scroller.current, content.current];
    if (!outer || !inner) return;
    height.current = outer.scrollHeight;
    const scrolled = (): void => {
      // Content that grew under a resting reader also scrolls; only a reader's own move changes what is followed.
      if (outer.scrollHeight !== height.current) return;
      following.current = outer.scrollHeight - outer.scrollTop - outer.clientHeight < NEAR_PX;
      setAway(!following.current);
    };
    const grown = new ResizeObserver(() => {
      height.current = outer.scrollHeight;
      if (following.current) outer.scrollTop = height.current;
    });
    grown.observe(inner);
    grown.observe(outer);
    outer.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      grown.disconnect();
      outer.removeEventListener("scroll", scrolled);
    };
  }, []);

  return { scroller, content, away, toEnd };
}
