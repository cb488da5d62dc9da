import { useCallback, useEffect, useRef, useState } from "react";

/** Long enough for a screen reader to take the words over; then nothing is left to be found or copied twice. */
const HELD_MS = 5_000;

/** What a conversation's one live region says now, and how to say something in it. */
export function useAnnouncement(): readonly [spoken: string, say: (words: string) => void] {
  const [spoken, speak] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const say = useCallback((words: string) => {
    clearTimeout(timer.current);
    speak(words);
    timer.current = setTimeout(() => speak(""), HELD_MS);
  }, []);
  return [spoken, say];
}
