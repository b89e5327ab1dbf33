"""The server of `app.py`'s page: it asks no other computer for anything, and forgets what is too old or too much."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from starlette.middleware import Middleware

from dataset.files import show
from utils.web.door import Door
from utils.web.page import WebPage

WAITING = 32
"""Calls that wait for the network; others are refused."""
SESSIONS = 64
"""Sessions whose settings, and unread answers, are remembered."""
TIDY_SECONDS = 5

_FOLDER = Path(__file__).parent


def launch(page: WebPage, blocks: gr.Blocks, host: str, port: int) -> None:
    """Serve the page until Ctrl-C. Raises OSError where the port is taken."""
    serve(page, blocks, host, port)
    show(f"CSENet's page is at {blocks.local_url} - Ctrl-C ends it.")
    blocks.block_thread()


def serve(page: WebPage, blocks: gr.Blocks, host: str, port: int) -> None:
    """Serve the page from a thread until it is closed. Raises OSError where the port is taken."""
    # Gradio downloads whatever address stands in the place of an upload.
    processing_utils.async_ssrf_protected_download = _fetch_nothing
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blocks.queue(max_size=WAITING, api_open=False)
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            ssr_mode=False,
            enable_monitoring=False,
            max_file_size=int(page.limits.upload_mb * 2**20),
            state_session_capacity=SESSIONS,
            footer_links=[],
            theme=theme,
            css=(_FOLDER / "page.css").read_text(encoding="utf-8"),
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={
                "middleware": [Middleware(Door, folder=page.folder, limits=page.limits)],
                "lifespan": _tidying(page, blocks),
            },
        )
    except OSError as error:
        raise OSError(
            f"{host}:{port} is taken, or no address of this computer; choose another --port or --host"
        ) from error


async def _fetch_nothing(*_: Any, **__: Any) -> str:
    raise gr.Error("This page fetches nothing; please upload the picture itself.", print_exception=False)


def _tidying(page: WebPage, blocks: gr.Blocks) -> Callable[[Any], contextlib.AbstractAsyncContextManager[None]]:
    """Return what FastAPI calls a lifespan: while the server runs, it forgets regularly."""

    async def tidy() -> None:
        while True:
            await asyncio.to_thread(page.forget)
            unread = blocks._queue.pending_messages_per_session
            full = [session for session, answers in unread.items() if not answers.empty()]
            for session in full[:-SESSIONS]:  # nobody came for them
                unread.pop(session, None)
            await asyncio.sleep(TIDY_SECONDS)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(tidy())
        yield
        task.cancel()

    return lifespan
