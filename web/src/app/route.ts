/** The address says which chat is open: `/c/<id>`, or `/` for a new one. */
import { useEffect } from "react";
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

/** Keeps the address and the open chat the same, whichever of the two changes. */
export function useRoute(): void {
  const session = useSession();
  const open = useAppState((state) => state.open);
  useEffect(() => {
    if (location.pathname !== pathOf(open)) history.pushState(null, "", pathOf(open));
  }, [open]);
  useEffect(() => {
    const moved = (): void => session.open(chatOf(location.pathname));
    window.addEventListener("popstate", moved);
    return () => window.removeEventListener("popstate", moved);
  }, [session]);
}
