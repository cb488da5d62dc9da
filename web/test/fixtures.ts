import type { ChatView, MessageView, ServerMessage, UserView } from "../src/protocol";
import type { Socket } from "../src/client";

export const ANA: UserView = { id: "ana", username: "ana", role: "member" };
export const AT = "2026-01-01T00:00:00Z";

export function question(given: Partial<MessageView> = {}): MessageView {
  return message({ id: "q", role: "user", text: "Why?", state: "done", run: null, ...given });
}

export function reply(given: Partial<MessageView> = {}): MessageView {
  return message({ id: "a", parent: "q", role: "assistant", state: "running", run: "r", ...given });
}

function message(given: Partial<MessageView>): MessageView {
  const none = { finish: null, usage: null, code: null, error: null, retryable: null, model: null };
  const base = { id: "", chat: "c", parent: null, role: "user", text: "", state: "done", ordinal: 1, created_at: AT, run: null };
  return { ...none, ...base, attempt: 0, seq: 0, ...given } as MessageView;
}

export function chat(id: string, updated = AT, title = id): ChatView {
  return { id, title, status: "ACTIVE", created_at: AT, updated_at: updated };
}

/** A socket whose other end is the test. */
export class FakeSocket implements Socket {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  closedWith: number | undefined | null = null;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }

  close(code?: number): void {
    this.closedWith = code;
  }

  says(message: ServerMessage | Record<string, unknown>): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  ends(code: number): void {
    this.onclose?.({ code });
  }

  welcomes(user: UserView = ANA, models: readonly string[] = ["local"]): void {
    this.says({ type: "hello", user, gateway: "gw-1", models });
  }
}
