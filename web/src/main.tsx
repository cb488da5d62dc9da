/** The composition root: the browser's own things go in here and nowhere else. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createApi, createCall } from "./api";
import { App } from "./app/App";
import { chatOf } from "./app/route";
import "./app/page.css";
import { browserShelf, createKeep } from "./keep";
import { SharedProvider } from "./shared/context";
import { createPreferences } from "./shared/preferences";
import { createSession } from "./store";
import { uuid7 } from "./uuid";
import type { Socket } from "./client";

const HIDDEN_MS = 250;

/** A hidden page gets no animation frames: then a timer does, so that nothing piles up. */
function atNextFrame(callback: () => void): void {
  let due = true;
  const once = (): void => {
    if (!due) return;
    due = false;
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    callback();
  };
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, HIDDEN_MS);
}

function openSocket(url: string, subprotocol: string): Socket {
  const real = new WebSocket(url, subprotocol);
  const socket: Socket = {
    onmessage: null,
    onclose: null,
    send: (text) => real.send(text),
    close: (code) => real.close(code),
  };
  real.onmessage = (event) => socket.onmessage?.(event);
  real.onclose = (event) => socket.onclose?.(event);
  return socket;
}

const keep = createKeep(browserShelf());
const call = createCall((path, init) => fetch(path, init));
const session = createSession({
  api: createApi(call),
  keep,
  socketUrl: `${location.origin.replace(/^http/, "ws")}/api/ws`,
  openSocket,
  atNextFrame,
  uuid: () => uuid7(Date.now(), crypto.getRandomValues(new Uint8Array(10))),
  now: () => new Date(),
  random: Math.random,
});
const preferences = createPreferences(keep, navigator.languages);

window.addEventListener("online", () => session.nudge());
// No network is no proof: a server on this machine is still there. So it is asked.
window.addEventListener("offline", () => session.nudge());
window.addEventListener("pageshow", (event) => event.persisted && session.nudge());
document.addEventListener("visibilitychange", () => !document.hidden && session.nudge());

void session.start(chatOf(location.pathname));

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <SharedProvider shared={{ session, preferences, call }}>
      <App />
    </SharedProvider>
  </StrictMode>,
);
