import { useEffect, useState } from "react";
import type { SubmitEvent } from "react";
import { LanguageChoice, ThemeChoice } from "../../shared/choices";
import { problemText, useSession, useWords } from "../../shared/context";
import { Button, IconButton, Splash, Wordmark } from "../../shared/ui";
import type { Credentials, Info } from "../../api";

const FIELD = "w-full rounded-xl border border-line bg-paper px-3.5 py-2.5 text-[0.95rem] outline-offset-0 placeholder:text-faint";

const SHORTEST_PASSWORD = 8;

interface Problem {
  readonly code: string;
  readonly message: string;
  /** The field that has to change, where the page itself can tell. */
  readonly field?: "username" | "password";
}

export function SignIn() {
  const words = useWords();
  const info = useInfo();
  const [wish, setWish] = useState<"in" | "up" | null>(null);
  if (info === undefined) return <Splash />;
  const closed = info?.sign_up === false;
  const up = !closed && (wish ?? (info?.first_account ? "up" : "in")) === "up";
  return (
    <main className="flex min-h-full flex-col items-center justify-center gap-8 px-4 py-10">
      <header className="text-center">
        <h1>
          <Wordmark className="text-5xl" />
        </h1>
        <p className="mt-3 text-soft">{words.tagline}</p>
      </header>
      <section className="w-full max-w-sm rounded-2xl border border-line bg-raised p-6 shadow-card">
        <h2 className="text-lg font-semibold">{up ? words.auth.welcome : words.auth.welcomeBack}</h2>
        {up && info?.first_account && <p className="mt-1 text-sm text-soft">{words.auth.firstAccount}</p>}
        <CredentialsForm key={up ? "up" : "in"} up={up} />
        {closed ? <p className="mt-4 text-center text-sm text-soft">{words.auth.closed}</p> : <Switch up={up} onSwitch={setWish} />}
      </section>
      <footer className="flex gap-2">
        <LanguageChoice />
        <ThemeChoice />
      </footer>
    </main>
  );
}

function Switch({ up, onSwitch }: { up: boolean; onSwitch: (wish: "in" | "up") => void }) {
  const { auth } = useWords();
  return (
    <p className="mt-4 text-center text-sm text-soft">
      {up ? auth.toSignIn : auth.toSignUp}{" "}
      <button
        type="button"
        data-testid="auth-switch"
        className="font-medium text-accent underline-offset-4 hover:underline"
        onClick={() => onSwitch(up ? "in" : "up")}
      >
        {up ? auth.signIn : auth.signUp}
      </button>
    </p>
  );
}

/** What can be told without asking: the browser's own bubbles would speak the browser's language, not the page's. */
function unfilled({ username, password }: Credentials, up: boolean): Problem | null {
  if (username === "") return { code: "no_username", message: "", field: "username" };
  if (password === "") return { code: "no_password", message: "", field: "password" };
  const short = up && [...password].length < SHORTEST_PASSWORD;
  return short ? { code: "bad_password", message: "", field: "password" } : null;
}

function CredentialsForm({ up }: { up: boolean }) {
  const session = useSession();
  const words = useWords();
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: SubmitEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = new FormData(form);
    const credentials = { username: String(fields.get("username")), password: String(fields.get("password")) };
    const found = unfilled(credentials, up);
    setProblem(found);
    if (found?.field) return form.querySelector<HTMLInputElement>(`[name=${found.field}]`)?.focus();
    setBusy(true);
    try {
      await (up ? session.signUp(credentials) : session.signIn(credentials));
    } catch (error) {
      setProblem(error as Problem);
      setBusy(false);
    }
  }

  return (
    <form
      noValidate
      className="mt-5 flex flex-col gap-4"
      data-testid="auth-form"
      data-mode={up ? "sign-up" : "sign-in"}
      onSubmit={submit}
      onInput={() => setProblem(null)}
    >
      <label className="flex flex-col gap-1.5 text-sm font-medium">
        {words.auth.username}
        <input
          className={FIELD}
          name="username"
          data-testid="username"
          autoComplete="username"
          autoCapitalize="none"
          aria-invalid={problem?.field === "username"}
          required
          autoFocus
        />
      </label>
      <PasswordField up={up} wrong={problem?.field === "password"} />
      {problem && (
        <p role="alert" data-testid="auth-error" data-code={problem.code} className="rounded-xl bg-danger-tint px-3.5 py-2.5 text-sm text-danger">
          {problemText(words, problem)}
        </p>
      )}
      <Button look="solid" type="submit" data-testid="auth-submit" disabled={busy} className="py-2.5">
        {up ? words.auth.signUp : words.auth.signIn}
      </Button>
    </form>
  );
}

function PasswordField({ up, wrong }: { up: boolean; wrong: boolean }) {
  const { auth } = useWords();
  const [shown, setShown] = useState(false);
  return (
    <div className="flex flex-col gap-1.5 text-sm font-medium">
      <label htmlFor="password">{auth.password}</label>
      <div className="relative">
        <input
          id="password"
          className={`${FIELD} pr-11`}
          name="password"
          data-testid="password"
          type={shown ? "text" : "password"}
          autoComplete={up ? "new-password" : "current-password"}
          aria-invalid={wrong}
          aria-describedby={up ? "password-hint" : undefined}
          required
        />
        <IconButton
          icon="eye"
          label={shown ? auth.hide : auth.show}
          aria-pressed={shown}
          className="absolute top-1/2 right-1.5 -translate-y-1/2"
          onClick={() => setShown(!shown)}
        />
      </div>
      {up && (
        <span id="password-hint" className="font-normal text-faint">
          {auth.passwordHint}
        </span>
      )}
    </div>
  );
}

/** Undefined until there is an answer, because a form that changes takes away what was typed; null where there is none. */
function useInfo(): Info | null | undefined {
  const session = useSession();
  const [info, setInfo] = useState<Info | null>();
  useEffect(() => {
    let here = true;
    session.info().then(
      (known) => here && setInfo(known),
      () => here && setInfo(null),
    );
    return () => {
      here = false;
    };
  }, [session]);
  return info;
}
