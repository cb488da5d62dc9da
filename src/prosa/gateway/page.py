"""The page: a few built files, read once and served from memory, so that no request touches the disk or a path."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

FOLDER: Final = Path(__file__).parent / "page"
INDEX: Final = "/index.html"
ASSETS: Final = "/assets/"
CSP: Final = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        # Components set sizes and places in style elements; a style cannot call home under this policy.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY: Final = {
    "content-security-policy": CSP,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_AGAIN: Final = "no-cache"
# What the machine's own table may not know, or knows otherwise.
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Prosa</title>
<h1>Prosa</h1>
<p>The page was not built. Run <code>make web</code> and start Prosa again.</p>
<p lang="pt-BR">A página não foi construída. Execute <code>make web</code> e inicie o Prosa de novo.</p>
</html>
"""


class File(msgspec.Struct, frozen=True):
    """One file of the page. Names under ``/assets/`` carry a hash of their content: they never change."""

    content: bytes
    media_type: str
    etag: str
    caching: str

    @classmethod
    def of(cls, path: str, content: bytes) -> "File":
        suffix = Path(path).suffix
        media_type = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, media_type, etag, FOR_EVER if path.startswith(ASSETS) else ASK_AGAIN)


def load(folder: Path = FOLDER) -> dict[str, File]:
    """The built files by their addresses; where there is no build, one file that says how to make it."""
    files = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            address = f"/{path.relative_to(folder).as_posix()}"
            files[address] = File.of(address, path.read_bytes())
    files.setdefault(INDEX, File.of(INDEX, NOT_BUILT.encode()))
    return files


class Page:
    """Answers what no route answers: the page's files, and the page itself for every other address outside /api."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        """Raises HTTPException where there is nothing: unknown addresses of the API and missing assets."""
        path: str = scope["path"]
        if path == "/api" or (path.startswith(("/api/", ASSETS)) and path not in self._files):
            raise HTTPException(404)
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"allow": "GET, HEAD"})
        file = self._files.get(path) or self._files[INDEX]
        headers = {**SECURITY, "etag": file.etag, "cache-control": file.caching}
        if _known(Headers(scope=scope).get("if-none-match"), file.etag):
            return Response(status_code=304, headers=headers)
        response = Response(file.content, headers=headers, media_type=file.media_type)
        if scope["method"] == "HEAD":
            response.body = b""
        return response


def _known(condition: str | None, etag: str) -> bool:
    """Whether the client holds this very content (RFC 9110 §13.1.2: compared weakly)."""
    held = {tag.strip().removeprefix("W/") for tag in (condition or "").split(",")}
    return "*" in held or etag in held
