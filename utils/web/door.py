"""The one way into the web page's server: what a browser asks of it, within limits, and nothing else.

Gradio answers much more than its page asks for: calls past its queue, pages of other servers, files of other folders,
bodies of any length.
"""

import asyncio
import re

import anyio.to_thread
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from utils.web.kept import Folder
from utils.web.upload import UPLOADS_AT_ONCE, Limits, uploaded_file

CALL_BYTES = 2**18
"""The longest body of a call: options and the legend, no pictures."""
UPLOAD_SECONDS = 300

_FILE, _UPLOAD = "/gradio_api/file=", "/gradio_api/upload"
_READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte|pwa_icon)(/.*)?"
    r"|/gradio_api/((info|app_id|startup-events|theme\.css|upload_progress|queue/(data|status))/?|(heartbeat|call)/.*)"
)
_WRITE = re.compile(r"/gradio_api/(upload|cancel|reset|queue/join|call/.*)/?")


class Door:
    """ASGI middleware that refuses, with a sentence, what the page has no use for or no room for."""

    def __init__(self, app: ASGIApp, folder: Folder, limits: Limits) -> None:
        self.app, self.folder, self.limits = app, folder, limits
        self._uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            refused = self._refused(scope)
            if refused is not None:
                await refused(scope, receive, send)
            elif scope["path"].rstrip("/") == _UPLOAD:
                await self._upload(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        path = scope["path"]
        if scope["method"] in ("GET", "HEAD"):
            if path.startswith(_FILE):
                ours = uploaded_file(path[len(_FILE) :], self.folder.path) is not None
                return None if ours else _refusal(403, "This is no file of this page.")
            return None if _READ.fullmatch(path) else _refusal(404, "This page has no such address.")
        if scope["method"] == "OPTIONS":
            return None
        if scope["method"] != "POST" or not _WRITE.fullmatch(path):
            return _refusal(403, "This page takes calls through its queue only, at /gradio_api/queue/join.")
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():  # a server takes no more of a body than its announced length
            return _refusal(411, "Please say how long this is (Content-Length).")
        limit = self.limits.request_bytes if path.rstrip("/") == _UPLOAD else CALL_BYTES
        return _refusal(413, f"This page takes up to {limit} bytes here.") if int(length) > limit else None

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a few uploads in at a time, each of them after the room for all was made."""
        if self._uploads >= UPLOADS_AT_ONCE:
            await _refusal(503, "This page is busy; please try again in a minute.")(scope, receive, send)
            return
        self._uploads += 1
        try:
            await anyio.to_thread.run_sync(self.folder.tidy, UPLOADS_AT_ONCE * self.limits.request_bytes)
            await asyncio.wait_for(self.app(scope, receive, send), UPLOAD_SECONDS)
        finally:
            self._uploads -= 1


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status, {"Retry-After": "60"} if status == 503 else None)
