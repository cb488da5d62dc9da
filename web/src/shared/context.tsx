/** How components reach the session and the preferences. */
import { createContext, useContext } from "react";
import { useStore } from "zustand";
import { CATALOGUES } from "./preferences";
import type { ReactNode } from "react";
import type { StoreApi } from "zustand/vanilla";
import type { Call } from "../api";
import type { State } from "../state";
import type { Session } from "../store";
import type { Catalogue } from "./en";
import type { Preferences } from "./preferences";

interface Shared {
  readonly session: Session;
  readonly preferences: StoreApi<Preferences>;
  readonly call: Call;
}

const Context = createContext<Shared | null>(null);

export function SharedProvider({ shared, children }: { shared: Shared; children: ReactNode }) {
  return <Context value={shared}>{children}</Context>;
}

function useShared(): Shared {
  const shared = useContext(Context);
  if (shared === null) throw new Error("A component stands outside SharedProvider.");
  return shared;
}

export function useSession(): Session {
  return useShared().session;
}

/** REST for the parts of the page that are loaded late and bring their own calls. */
export function useCall(): Call {
  return useShared().call;
}

/** A part of the state; the component renders again only when that part changes. */
export function useAppState<T>(select: (state: State) => T): T {
  return useStore(useShared().session.store, select);
}

export function usePreferences(): readonly [Preferences, (change: Partial<Preferences>) => void] {
  const { preferences } = useShared();
  return [useStore(preferences), preferences.setState];
}

export function useWords(): Catalogue {
  return CATALOGUES[useStore(useShared().preferences, (state) => state.language)];
}

/** What went wrong, in the person's language; the gateway's own words where the page knows no better. */
export function problemText(words: Catalogue, problem: { code: string; message: string }): string {
  return words.problems[problem.code] ?? (problem.message || (words.problems.internal ?? ""));
}

/** The model to ask now: the chosen one while it is offered. Null: the default. */
export function useModel(): readonly [string | null, readonly string[], (model: string) => void] {
  const models = useAppState((state) => state.models);
  const [{ model }, set] = usePreferences();
  const chosen = model !== null && model !== models[0] && models.includes(model) ? model : null;
  return [chosen, models, (name) => set({ model: name })];
}
