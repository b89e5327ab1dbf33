"""The web page of `app.py`: pictures in, overlay, legend and downloads out. Importing it needs gradio."""

import contextlib
import html
import itertools
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import torch
from PIL import Image

from dataset.people import draw_person
from dataset.writing import write_bytes
from utils.inference import HumanParser
from utils.web.components import OPACITY, SCALES, accuracy, download_buttons, view_and_legend
from utils.web.kept import Folder, Kept
from utils.web.results import Parsed, download, legend_rows, scene
from utils.web.upload import Limits, UploadError, formats_text, read_upload

TITLE = "CSENet human parsing"
EXAMPLE_SEEDS = (58, 20, 12, 3, 29)
EXAMPLE_SIZE = (480, 320)

_SEND_OPACITY = "(value) => document.dispatchEvent(new CustomEvent('parsing:opacity', { detail: value }))"
_SAVE_FILE = """(file) => {
  if (!file) return;
  const link = document.createElement("a");
  link.href = file.url;
  link.download = file.orig_name || file.path.split(/[\\\\/]/).pop();
  link.click();
}"""


class Upload(NamedTuple):
    """A file as it came."""

    path: str
    name: str


class WebPage:
    """What the page does, one method an event; `build` wires them to what people see.

    Args:
        checkpoint: the file the parser comes from, to be shown.
    """

    def __init__(self, parser: HumanParser, checkpoint: str, limits: Limits) -> None:
        self.parser = parser
        self.checkpoint = checkpoint
        self.limits = limits
        self.folder = Folder(Path(gr.utils.get_upload_folder()).resolve(), limits.disk_bytes)
        each = int(limits.session_mb * 2**20)
        self._pictures: Kept[Parsed] = Kept(int(limits.memory_mb * 2**20), each)
        self._files: Kept[Path] = Kept(limits.disk_bytes, each, self._remove)
        self._numbers = itertools.count(1)

    def build(self, examples: Sequence[Path]) -> gr.Blocks:
        """Return the page, with example pictures from files in its own folder."""
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as page:
            gr.Markdown(f"# {TITLE}\n{self.status()}", elem_id="status")
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    upload = self._input(examples)
                with gr.Column(scale=3, min_width=320):
                    view, legend = view_and_legend()
                    opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity")
                    scales, mirror = accuracy()
                    buttons = download_buttons()
            opacity.input(None, opacity, None, js=_SEND_OPACITY, api_visibility="private")
            shared: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
            outputs = [view, legend]
            upload.change(self.parse_upload, [upload, scales, mirror], outputs, show_progress_on=view, **shared)
            gr.on(
                [scales.change, mirror.change],
                self.parse_again,
                [legend, scales, mirror],
                outputs,
                trigger_mode="always_last",
                show_progress_on=view,
                **shared,
            )
            self._connect_downloads(buttons, [legend, opacity])
        self.folder = Folder(self.folder.path, self.limits.disk_bytes)  # with the examples, which stay
        return page

    def status(self) -> str:
        """Return what is loaded where, as Markdown."""
        device = self.parser.device
        where = f"{torch.cuda.get_device_name(device)} (`{device}`)" if device.type == "cuda" else f"`{device}`"
        name, height, width = self.parser.description.name, *self.parser.input_size
        return (
            f"Checkpoint `{self.checkpoint}` with the {self.parser.num_classes} classes of `{name}`, "
            f"input {height} × {width}, on {where}"
        )

    def parse_upload(
        self, upload: Upload | None, scales: Sequence[float], mirror: bool, request: gr.Request
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parse a new picture, and keep it; return the values of view and legend."""
        if upload is None:
            return _nothing("")
        try:
            picture = read_upload(upload.path, upload.name, self.limits, self.folder.path)
            classes = self.parser.predict(picture, scales=_checked_scales(scales), mirror=mirror)
        except (UploadError, torch.OutOfMemoryError) as error:
            return _nothing(_warn(error))
        self._keep_file(request, "upload", Path(upload.path).resolve())
        return self._results(request, Parsed(_plain_name(upload.name), picture, classes), hidden=[])

    def parse_again(
        self, legend: dict[str, Any] | None, scales: Sequence[float], mirror: bool, request: gr.Request
    ) -> Any:
        """Parse the same picture with other test-time augmentation; classes that were switched off stay so."""
        rows, shown = _rows(legend), self.shown(legend)
        try:
            parsed = self._parsed(request, legend) if rows else None
            if parsed is None:
                return gr.skip(), gr.skip()
            classes = self.parser.predict(parsed.picture, scales=_checked_scales(scales), mirror=mirror)
        except (UploadError, torch.OutOfMemoryError) as error:
            _warn(error)
            return gr.skip(), gr.skip()
        hidden = [row["index"] for row in rows if row["index"] not in shown]
        return self._results(request, Parsed(parsed.name, parsed.picture, classes), hidden)

    def make_file(self, kind: str, legend: dict[str, Any] | None, opacity: float, request: gr.Request) -> str | None:
        """Return the path of a download of one of `KINDS`, in the page's own folder, which is cleared regularly."""
        try:
            parsed = self._parsed(request, legend)
        except UploadError as error:
            _warn(error)
            return None
        name, content = download(kind, parsed, self.parser.description, self.shown(legend), opacity)
        self.folder.tidy(len(content))
        path = self.folder.path / secrets.token_hex(16) / name
        try:
            write_bytes(path, content)
        except OSError as error:
            self.folder.remove(path)
            _warn(UploadError(f"This page cannot write your download ({error.strerror}). Please try again later."))
            return None
        self._keep_file(request, kind, path)
        return str(path)

    def forget(self) -> None:
        """Forget what is too old, and files that are too many bytes; to be called regularly."""
        self._pictures.forget_old()
        self._files.forget_old()
        self.folder.tidy()

    def _parsed(self, request: gr.Request, legend: dict[str, Any] | None) -> Parsed:
        """Return a session's picture. Raises UploadError where there is none, or no longer."""
        parsed = self._pictures.get(_session(request), "picture")
        if parsed is None:
            raise UploadError(
                "This page had to forget your picture, after an hour or for those of others. Please choose it again."
                if _rows(legend)
                else "There is nothing to download yet: please choose a picture first."
            )
        return parsed

    def _keep_file(self, request: gr.Request, name: str, path: Path) -> None:
        with contextlib.suppress(OSError):  # removed meanwhile
            self._files.keep(_session(request), name, path, path.stat().st_size)

    def _remove(self, path: Path) -> None:
        """Remove a file that a session has no more use for; the same upload of several sessions is one file."""
        if path not in self._files.values():
            self.folder.remove(path)

    def shown(self, legend: dict[str, Any] | None) -> list[int]:
        """Return the class indices that are switched on, of what the browser says."""
        said = legend.get("shown") if isinstance(legend, dict) else None
        return [index for index in range(self.parser.num_classes) if isinstance(said, list) and index in said]

    def _results(
        self, request: gr.Request, parsed: Parsed, hidden: Sequence[int]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._pictures.keep(_session(request), "picture", parsed, parsed.picture.nbytes + parsed.classes.nbytes)
        rows = legend_rows(parsed, self.parser.description)
        shown = [row["index"] for row in rows if row["index"] not in hidden]
        view = scene(parsed, self.parser.description, shown) | {"number": next(self._numbers)}
        if not rows:
            view["note"] = "The network found nobody in this picture."
        return view, {"rows": rows, "shown": shown}

    def _input(self, examples: Sequence[Path]) -> gr.Image:
        limits = self.limits
        upload: Any = gr.Image(
            type="filepath",
            sources=["upload", "webcam", "clipboard"],
            label="Picture",
            height=320,
            buttons=[],
            elem_id="upload",
        )
        # The page reads files itself, to refuse them in its own words. (Subclassing would make Gradio write a stub file
        # beside this one.)
        upload.preprocess = _as_uploaded
        gr.Markdown(
            f"<small>{formats_text()}, up to {limits.upload_mb:g} MB and {limits.picture_side} pixels a "
            "side. Pictures stay on the computer that serves this page and are forgotten after an hour.</small>"
        )
        # Not gr.Examples, which replaces the component and so its `preprocess`.
        names = gr.Dataset(
            components=[gr.Image(render=False, type="filepath")],
            samples=[[str(path)] for path in examples],
            type="index",
            label="Examples (drawn people)",
            elem_id="examples",
        )
        names.click(lambda index: str(examples[index]), names, upload, api_visibility="private", show_progress="hidden")
        return upload

    def _connect_downloads(self, buttons: dict[str, gr.Button], inputs: list[gr.components.Component]) -> None:
        """Make each button compute its file when it is clicked, and then have the browser save it."""
        file = gr.File(visible=False)
        for kind, button in buttons.items():

            def make(legend: Any, opacity: float, request: gr.Request, kind: str = kind) -> str | None:
                return self.make_file(kind, legend, opacity, request)

            made = button.click(
                make,
                inputs,
                file,
                api_name=kind,
                api_visibility="private",
                show_progress="minimal",
                concurrency_id="downloads",
                concurrency_limit=1,
            )
            made.success(None, file, None, js=_SAVE_FILE, api_visibility="private")


def draw_examples(folder: Path) -> list[Path]:
    """Draw people into a folder and return the files."""
    paths = []
    for seed in EXAMPLE_SEEDS:
        picture, _ = draw_person(seed, EXAMPLE_SIZE)
        paths.append(folder / f"drawn-person-{seed}.png")
        Image.fromarray(picture[..., ::-1]).save(paths[-1])
    return paths


def _as_uploaded(payload: Any) -> Upload | None:
    """Return an uploaded file as it came; `read_upload` checks that it is one."""
    if payload is None or payload.path is None:
        return None
    return Upload(payload.path, payload.orig_name or Path(payload.path).name)


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _rows(legend: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the legend's rows as the browser, or whoever poses as one, says them."""
    rows = legend.get("rows") if isinstance(legend, dict) else None
    return [row for row in rows if isinstance(row, dict) and "index" in row] if isinstance(rows, list) else []


def _plain_name(name: str) -> str:
    """Return a file's name without its suffix and without what no disk takes in a name."""
    return "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in Path(name).stem)


def _nothing(note: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"note": note}, {"rows": [], "shown": []}


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    if not scales:
        raise UploadError("Please keep at least one scale switched on.")
    if not set(scales) <= set(SCALES):
        raise UploadError(f"Please choose among the scales {', '.join(map(str, SCALES))}.")
    return tuple(sorted(set(scales)))


def _warn(error: Exception) -> str:
    """Show a person what went wrong, and return it."""
    if isinstance(error, torch.OutOfMemoryError):
        message = "The device has too little memory for this; please try fewer or smaller scales."
    else:
        message = str(error)
    gr.Warning(html.escape(message))
    return message
