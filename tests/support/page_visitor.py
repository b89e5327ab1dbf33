"""The web page served in this process with a tiny parser, and attacked through its HTTP interface."""

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.started import free_port
from tests.support.tiny_parser import tiny_parser
from utils.web.upload import Limits

SECONDS = 20


class Answer(NamedTuple):
    """What the server answers: HTTP status and body."""

    status: int
    body: bytes


class Visitor:
    """Somebody who speaks HTTP, with a session of their own; `session` may be that of others."""

    def __init__(self, address: str, session: str = "") -> None:
        self.address, self.session = address.rstrip("/"), session or uuid.uuid4().hex[:12]

    def send(self, path: str, body: bytes | None = None, kind: str = "application/json") -> Answer:
        """Ask for a path, with POST where there is a body."""
        request = urllib.request.Request(f"{self.address}{path}", body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return Answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read())

    def post(self, path: str, content: Any) -> Answer:
        """Post JSON."""
        return self.send(path, json.dumps(content).encode())

    def upload(self, content: bytes, name: str = "anna.png", copies: int = 1) -> Answer:
        """Upload a file as a browser does, or several in one request."""
        part = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        return self.send(
            "/gradio_api/upload", (part + content + b"\r\n") * copies + b"--x--\r\n", "multipart/form-data; boundary=x"
        )

    def functions(self) -> dict[str, int]:
        """Return the numbers of the page's functions by name."""
        return {one["api_name"]: one["id"] for one in json.loads(self.send("/config").body)["dependencies"]}

    def join(self, function: str, data: list[Any]) -> Answer:
        """Put a call into the queue as a browser does."""
        number = self.functions()[function]
        return self.post("/gradio_api/queue/join", {"data": data, "fn_index": number, "session_hash": self.session})

    def events(self) -> list[dict[str, Any]]:
        """Return all that the queue says to this session until its calls are done."""
        text = self.send(f"/gradio_api/queue/data?session_hash={self.session}").body.decode()
        return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]

    def call(self, function: str, data: list[Any]) -> list[dict[str, Any]]:
        """Put a call into the queue and return all that is said of it."""
        answer = self.join(function, data)
        assert answer.status == 200, answer
        return self.events()


def file_data(path: str | Path, **more: Any) -> dict[str, Any]:
    """Return what a browser says of a file that it has uploaded."""
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


@contextmanager
def served_page(folder: Path, limits: Limits, parser: Any = None) -> Iterator[str]:
    """Serve the page from a thread, with `folder` as its own (see GRADIO_TEMP_DIR), and give its address."""
    from utils.web.page import WebPage, draw_examples
    from utils.web.server import serve

    page = WebPage(parser or tiny_parser(), "tiny.pth", limits)
    blocks = page.build(draw_examples(folder))
    serve(page, blocks, "127.0.0.1", free_port())
    try:
        yield str(blocks.local_url).rstrip("/")
    finally:
        blocks.close(verbose=False)
