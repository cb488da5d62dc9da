/** The address says what is shown: `/c/<id>` a chat, `/` a new one, `/cockpit…` the cockpit. */
import { useEffect, useState } from "react";
import { isUuid } from "../uuid";
import { useAppState, useSession } from "../shared/context";
import type { Uuid } from "../protocol";

export function chatOf(path: string): Uuid | null {
  const [, kind, id, ...rest] = path.split("/");
  return kind === "c" && id !== undefined && isUuid(id) && rest.length === 0 ? id.toLowerCase() : null;
}

export function pathOf(chat: Uuid | null): string {
  return chat === null ? "/" : `/c/${chat}`;
}

export function inCockpit(path: string): boolean {
  return /^\/cockpit(\/|$)/.test(path);
}

/** Keeps the address and what is shown the same, whichever of the two changes. True: the cockpit is shown. */
export function useRoute(): boolean {
  const session = useSession();
  const open = useAppState((state) => state.open);
  const [cockpit, show] = useState(() => inCockpit(location.pathname));
  useEffect(() => {
    if (!cockpit && location.pathname !== pathOf(open)) history.pushState(null, "", pathOf(open));
  }, [open, cockpit]);
  useEffect(() => {
    // Both in one step: between them the chat that was open before would take the address back.
    const moved = (): void => {
      show(inCockpit(location.pathname));
      if (!inCockpit(location.pathname)) session.open(chatOf(location.pathname));
    };
    window.addEventListener("popstate", moved);
    return () => window.removeEventListener("popstate", moved);
  }, [session]);
  return cockpit;
}
