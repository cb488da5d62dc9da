import { useEffect, useState } from "react";
import { useWords } from "./context";
import { IconButton } from "./ui";

const SHOWN_MS = 1_500;

/** Browsers copy only on secure origins; elsewhere there is no button. */
export function CopyButton({ text }: { text: string }) {
  const { conversation } = useWords();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copied]);
  if (!("clipboard" in navigator)) return null;
  return (
    <IconButton
      icon={copied ? "check" : "copy"}
      label={copied ? conversation.copied : conversation.copy}
      data-testid="copy"
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true), () => undefined)}
    />
  );
}
