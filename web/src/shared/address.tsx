/** The address of the page where it is more than the open chat: read by those who need it, changed by links and `go`. */
import { useSyncExternalStore } from "react";
import type { AnchorHTMLAttributes, MouseEvent } from "react";

export function useAddress(): string {
  return useSyncExternalStore(subscribe, () => location.pathname + location.search);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("popstate", changed);
  return () => window.removeEventListener("popstate", changed);
}

/** Goes there as a link does. `state` is kept by the browser with the step; `replace`: without a step to go back. */
export function go(to: string, { state = null, replace = false }: { state?: unknown; replace?: boolean } = {}): void {
  if (replace) history.replaceState(state, "", to);
  else history.pushState(state, "", to);
  // The browser says so itself only where somebody goes back or forward.
  window.dispatchEvent(new PopStateEvent("popstate", { state }));
}

/** A link within the page. With a modifier key it opens elsewhere, as every link does. */
export function Link({ to, onClick, ...props }: AnchorHTMLAttributes<HTMLAnchorElement> & { to: string }) {
  function follow(event: MouseEvent<HTMLAnchorElement>) {
    onClick?.(event);
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
  }
  return <a {...props} href={to} onClick={follow} />;
}
