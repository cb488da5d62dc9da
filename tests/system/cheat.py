"""A server that speaks Prosa's protocol and can be told to cheat, so that a bench shows that it believes nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiohttp import WSMsgType, web
from uuid_utils.compat import uuid7

from prosa.adapters.scripted_engine import reply_words

Frame = dict[str, Any]
Trick = Callable[[list[Frame]], list[Frame]]
"""What becomes of the frames of an answer, the end included."""

WHEN = "2026-01-01T12:00:00Z"


class Cheat:
    """``trick`` changes what is streamed, ``forge`` what the history says."""

    def __init__(self, trick: Trick = list, forge: Trick = list) -> None:
        self._trick = trick
        self._forge = forge
        self._chats: dict[str, list[Frame]] = {}
        self.base = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Cheat"]:
        app = web.Application()
        app.router.add_post("/api/auth/register", self._register)
        app.router.add_get("/api/ws", self._socket)
        app.router.add_get("/api/chats/{chat}", self._history)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    async def _register(self, _: web.Request) -> web.Response:
        response = web.json_response({}, status=201)
        response.set_cookie("prosa_session", uuid7().hex)
        return response

    async def _history(self, request: web.Request) -> web.Response:
        messages = self._forge(self._chats.get(request.match_info["chat"], []))
        return web.json_response({"messages": messages, "previous": None})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["prosa.v1"])
        await socket.prepare(request)
        user = {"id": str(uuid7()), "username": "cheated", "role": "member"}
        await socket.send_json({"type": "hello", "user": user, "gateway": "gw-cheat"})
        async for frame in socket:
            message = json.loads(frame.data) if frame.type is WSMsgType.TEXT else {}
            if message.get("type") == "send":
                await self._answer(socket, message)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, send: Frame) -> None:
        chat, run, reply = send["chat"], str(uuid7()), str(uuid7())
        held = self._chats.setdefault(chat, [])
        ordinal = len(held) // 2 + 1
        accepted = {"type": "accepted", "id": send["id"], "chat": chat, "run": run, "reply": reply}
        await socket.send_json({**accepted, "state": "queued", "ordinal": ordinal, "position": 1})
        frames = self._frames(send, UUID(run), UUID(reply))
        text = "".join(frame.get("text", "") for frame in frames)
        common = {"chat": chat, "state": "done", "ordinal": ordinal, "created_at": WHEN}
        held.append({**common, "id": send["id"], "parent": None, "role": "user", "text": send["text"]})
        held.append({**common, "id": reply, "parent": send["id"], "role": "assistant", "text": text})
        for frame in self._trick(frames):
            await socket.send_json(frame)
            await asyncio.sleep(0)

    def _frames(self, send: Frame, run: UUID, reply: UUID) -> list[Frame]:
        frames: list[Frame] = []
        seq = 0
        for word in reply_words(send["text"]):
            delta = {"type": "delta", "run": str(run), "attempt": 1, "from": seq + 1, "seq": seq + len(word)}
            frames.append({**delta, "text": word})
            seq += len(word)
        usage = {"prompt_tokens": 1, "completion_tokens": len(frames)}
        end = {"type": "done", "run": str(run), "chat": send["chat"], "reply": str(reply), "attempt": 1, "seq": seq}
        return [*frames, {**end, "finish": "stop", "usage": usage}]
