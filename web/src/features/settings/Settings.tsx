import { useState } from "react";
import type { ReactNode } from "react";
import { LanguageChoice, ThemeChoice } from "../../shared/choices";
import { useAppState, useSession, useWords } from "../../shared/context";
import { Button, Dialog, Icon, IconButton } from "../../shared/ui";

/** Who is signed in, at the foot of the sidebar; opens the settings. */
export function Account() {
  const words = useWords();
  const [shown, setShown] = useState(false);
  const name = useAppState((state) => state.user?.username ?? "");
  return (
    <div className="flex items-center gap-2.5">
      <span aria-hidden="true" className="grid size-8 place-items-center rounded-full bg-tint text-sm font-semibold text-accent uppercase">
        {[...name][0]}
      </span>
      <span className="min-w-0 flex-1 truncate text-sm font-medium" data-testid="username-shown">
        {name}
      </span>
      <IconButton icon="gear" label={words.settings.title} data-testid="settings" onClick={() => setShown(true)} />
      {shown && <Settings name={name} onClose={() => setShown(false)} />}
    </div>
  );
}

function Settings({ name, onClose }: { name: string; onClose: () => void }) {
  const words = useWords();
  const session = useSession();
  return (
    <Dialog title={words.settings.title} onClose={onClose}>
      <div className="flex flex-col divide-y divide-line text-sm">
        <Row label={words.settings.language}>
          <LanguageChoice />
        </Row>
        <Row label={words.settings.theme}>
          <ThemeChoice />
        </Row>
        <Row label={`${words.settings.signedInAs} ${name}`}>
          <Button data-testid="sign-out" onClick={() => void session.signOut()}>
            <Icon name="out" />
            {words.auth.signOut}
          </Button>
        </Row>
      </div>
    </Dialog>
  );
}

function Row({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="flex items-center justify-between gap-4 py-3">
      <span className="min-w-0 break-words">{label}</span>
      {children}
    </div>
  );
}
