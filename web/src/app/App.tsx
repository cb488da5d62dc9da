import { Suspense, lazy, useEffect } from "react";
import { SignIn } from "../features/auth/SignIn";
import { useAppState, usePreferences, useWords } from "../shared/context";
import { Splash } from "../shared/ui";
import { Shell } from "./Shell";
import { pathOf, useRoute } from "./route";

const Cockpit = lazy(() => import("../features/cockpit/Cockpit"));

export function App() {
  const session = useAppState((state) => state.session);
  useDocument();
  if (session === "unknown") return <Arriving />;
  return session === "in" ? <Inside /> : <SignIn />;
}

function Inside() {
  const cockpit = useRoute();
  const open = useAppState((state) => state.open);
  if (!cockpit) return <Shell />;
  return (
    <Suspense fallback={<Splash />}>
      <Cockpit home={pathOf(open)} />
    </Suspense>
  );
}

function Arriving() {
  const { link } = useWords();
  const offline = useAppState((state) => state.link === "offline");
  return <Splash>{offline && `${link.offline} ${link.trying}`}</Splash>;
}

const TAGS = { en: "en", pt: "pt-BR" } as const;

/** Language, appearance and title belong to the document, not to a component. */
function useDocument(): void {
  const words = useWords();
  const [{ language, theme }] = usePreferences();
  const chat = useAppState((state) => state.listing.items.find((one) => one.id === state.open)?.title);
  useEffect(() => {
    document.documentElement.lang = TAGS[language];
  }, [language]);
  useEffect(() => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  useEffect(() => {
    document.title = chat ? `${chat} · Prosa` : "Prosa";
  }, [chat, words]);
}
