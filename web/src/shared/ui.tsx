/** The page's small pieces: buttons, icons, a dialog. */
import { useLayoutEffect, useRef } from "react";
import type { ButtonHTMLAttributes, ReactNode } from "react";
import { useWords } from "./context";

const ICONS = {
  plus: "M12 5v14M5 12h14",
  send: "M12 19V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M8 8h8v8H8z",
  menu: "M4 7h16M4 12h16M4 17h10",
  close: "M6 6l12 12M18 6 6 18",
  pencil: "M4 20h4L19 9l-4-4L4 16v4zM13.5 6.5l4 4",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.5 11v5M13.5 11v5",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  again: "M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4",
  left: "M14.5 6 8.5 12l6 6",
  right: "M9.5 6l6 6-6 6",
  down: "M12 5v14M5.5 12.5 12 19l6.5-6.5",
  gear: "M4 8h8.5M17.5 8H20M4 16h2.5M11.5 16H20M15 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM9 13.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  out: "M10 5H5v14h5M14 8l4 4-4 4M18 12H9.5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  pulse: "M3 12h4l2.5-6.5 5 13 2.5-6.5h4",
  warn: "M12 8.5v4.5M12 16.4v.1M12 3.5 2.8 19.5h18.4z",
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name, className = "size-4.5" }: { name: IconName; className?: string }) {
  return (
    <svg viewBox="0 0 24 24" className={`shrink-0 ${className}`} fill="none" stroke="currentColor" aria-hidden="true">
      <path d={ICONS[name]} strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

type ButtonProps = ButtonHTMLAttributes<HTMLButtonElement>;

const LOOKS = {
  solid: "bg-accent text-on-accent hover:bg-accent-strong",
  plain: "border border-line bg-raised hover:bg-hover",
  danger: "bg-danger text-paper hover:opacity-90",
};

export function Button({ look = "plain", className = "", ...props }: ButtonProps & { look?: keyof typeof LOOKS }) {
  const shape = "inline-flex items-center justify-center gap-2 rounded-xl px-4 py-2 text-sm font-medium transition-colors";
  return <button type="button" {...props} className={`${shape} ${LOOKS[look]} disabled:opacity-50 ${className}`} />;
}

/** A button that shows only an icon; its label is read out and shown on hover. */
export function IconButton({ icon, label, className = "", ...props }: ButtonProps & { icon: IconName; label: string }) {
  const shape = "inline-grid size-8 place-items-center rounded-lg text-soft transition-colors hover:bg-hover hover:text-ink";
  return (
    <button type="button" aria-label={label} title={label} {...props} className={`${shape} disabled:opacity-40 ${className}`}>
      <Icon name={icon} />
    </button>
  );
}

/** Modal while it is mounted: the browser holds the focus inside and gives it back. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const words = useWords();
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the element leaves the page: a closed dialog gives the focus back only while it is there.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={title}
      onCancel={onClose}
      onClick={(event) => event.target === dialog.current && onClose()}
      className="m-auto w-[min(26rem,calc(100vw-2rem))] rounded-2xl border border-line bg-raised p-0 text-ink shadow-card"
    >
      <div className="p-5">
        <div className="mb-4 flex items-start justify-between gap-4">
          <h2 className="min-w-0 text-base font-semibold break-words">{title}</h2>
          <IconButton icon="close" label={words.close} onClick={onClose} className="-mt-1 -mr-1 shrink-0" />
        </div>
        {children}
      </div>
    </dialog>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <span role="status" aria-label={label} className="breathe inline-flex gap-1 py-2">
      <span className="size-1.5 rounded-full bg-soft" />
      <span className="size-1.5 rounded-full bg-soft" />
      <span className="size-1.5 rounded-full bg-soft" />
    </span>
  );
}

export function Wordmark({ className = "text-xl" }: { className?: string }) {
  return <span className={`font-serif font-semibold tracking-tight ${className}`}>Prosa</span>;
}

/** The page before it knows what to show. */
export function Splash({ children }: { children?: ReactNode }) {
  const words = useWords();
  return (
    <main className="flex h-full flex-col items-center justify-center gap-4 px-4 text-center" data-testid="splash">
      <Wordmark className="text-4xl" />
      <Spinner label={words.loading} />
      <p role="status" className="min-h-6 text-sm text-soft">
        {children}
      </p>
    </main>
  );
}
