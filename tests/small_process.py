"""A stand-in for a process of Prosa that starts in an instant: ``small_process.py ROLE --fd N …``.

It needs nothing but Python, serves 200 to every request on its sockets, and says on its output what it does. The
variable BEHAVIOUR makes it a worse one; BROKEN names a file with the sentence for which it then ends at once.
"""

import os
import selectors
import signal
import socket
import sys
from pathlib import Path

BEHAVIOUR = os.environ.get("BEHAVIOUR", "")  # noqa: TID251 — a process of its own
BROKEN = os.environ.get("BROKEN", "")  # noqa: TID251


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def end(_number: int, _frame: object) -> None:
    say(f"{sys.argv[1]} was told to end")
    if BEHAVIOUR != "stubborn":
        sys.exit(0)


def answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)
        status = "503 Busy" if BEHAVIOUR == "unready" else "200 OK"
        body = f"{os.getpid()}"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall((head + body).encode())


def serve() -> None:
    signal.signal(signal.SIGTERM, end)
    selector = selectors.DefaultSelector()
    for descriptor in sys.argv[3::2]:
        listener = socket.socket(fileno=int(descriptor))
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
    say(f"{sys.argv[1]} serves")
    while True:
        for key, _ in selector.select():
            try:
                answer(key.fileobj)  # type: ignore[arg-type]
            except BlockingIOError:
                continue  # another gateway was faster


def main() -> None:
    if BROKEN and Path(BROKEN).exists():
        say(f"prosa: {Path(BROKEN).read_text()}")
        sys.exit(2)
    if BEHAVIOUR == "talkative":
        for number in range(20_000):
            say(f"line {number} {'x' * 80}")
    if sys.argv[1] == "migrate":
        say("The schema is new.")
    else:
        serve()


if __name__ == "__main__":
    main()
