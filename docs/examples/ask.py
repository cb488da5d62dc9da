#!/usr/bin/env python3
"""Ask Prosa one question and print the answer as it comes, through lost connections. Needs: pip install websockets

usage: ask.py http://127.0.0.1:8000 USER PASSWORD QUESTION"""

import asyncio
import http.client
import json
import sys
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def sign_in(url, login):
    try:
        server = http.client.HTTPConnection(url.partition("://")[2].strip("/"), timeout=30)
        server.request("POST", "/api/auth/token", json.dumps(login), {"Content-Type": "application/json"})
        answer = json.load(server.getresponse())
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"There is no Prosa at {url} ({error}). Is `prosa serve` running there?")
    return answer.get("access_token") or sys.exit(answer["detail"])


def grown(frame, attempt, text):
    """The attempt and its text behind a frame; as they were where the frame is older, or does not adjoin."""
    if frame["type"] == "snapshot" and (frame["attempt"], frame["seq"]) >= (attempt, len(text)):
        return frame["attempt"], frame["text"]
    if frame["type"] == "delta" and frame["attempt"] == max(attempt, 1) and frame["from"] <= len(text) + 1:
        return frame["attempt"], text + frame["text"][len(text) + 1 - frame["from"] :]
    return attempt, text


async def ask(url, token, question):
    send = {"type": "send", "id": str(uuid.uuid4()), "chat": str(uuid.uuid4()), "text": question}
    watch, run, attempt, text = {"type": "watch", "chat": send["chat"]}, None, 0, ""
    async for socket in connect(f"ws{url[4:]}/api/ws", additional_headers={"Authorization": f"Bearer {token}"}):
        try:
            # Was a `send` stored whose answer got lost? The same id again makes one message of both.
            await socket.send(json.dumps({**watch, "runs": [run]} if run else send))
            async for frame in (json.loads(raw) async for raw in socket):
                if frame["type"] == "error":
                    sys.exit(frame["message"])
                run = frame["run"] if frame["type"] == "accepted" else run
                if "seq" not in frame or frame["run"] != run:
                    continue
                shown, (attempt, text) = text, grown(frame, attempt, text)
                sys.stdout.write(text[len(shown) :] if text.startswith(shown) else f"\n[again]\n{text}")
                if frame["type"] in ("done", "failed") and frame["seq"] == len(text):
                    return frame
                if frame["seq"] > len(text):
                    await socket.send(json.dumps({**watch, "runs": [run]}))
        except ConnectionClosed:
            await asyncio.sleep(0.5)


url, username, password, question = sys.argv[1:] if len(sys.argv) == 5 else sys.exit(__doc__)
end = asyncio.run(ask(url, sign_in(url, {"username": username, "password": password}), question))
sys.stdout.write(f"\n{json.dumps(end)}\n")
