import { useEffect } from "react";
import { SignIn } from "../features/auth/SignIn";
import { useAppState, usePreferences, useWords } from "../shared/context";
import { Spinner, Wordmark } from "../shared/ui";
import { Shell } from "./Shell";

export function App() {
  const session = useAppState((state) => state.session);
  useDocument();
  if (session === "unknown") return <Splash />;
  return session === "in" ? <Shell /> : <SignIn />;
}

function Splash() {
  const words = useWords();
  const offline = useAppState((state) => state.link === "offline");
  return (
    <main className="flex h-full flex-col items-center justify-center gap-4 px-4 text-center" data-testid="splash">
      <Wordmark className="text-4xl" />
      <Spinner label={words.loading} />
      <p role="status" className="min-h-6 text-sm text-soft">
        {offline && words.link.offline}
      </p>
    </main>
  );
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
