"""The web page of `app.py`: pictures in, overlay, legend and downloads out. Importing it needs gradio."""

import contextlib
import html
import itertools
import secrets
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dataset.people import draw_person
from dataset.writing import write_bytes
from utils.inference import HumanParser
from utils.inference.people import PersonDetector, parsed_boxes
from utils.pictures.figures import Picture
from utils.web.components import (
    OPACITY,
    SCALES,
    Upload,
    accuracy,
    download_buttons,
    picture_input,
    several_people,
    view_and_legend,
)
from utils.web.kept import Folder, Kept
from utils.web.results import PEOPLE, Parsed, download, legend_rows, scene
from utils.web.upload import Limits, UploadError, read_upload

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


class WebPage:
    """What the page does, one method an event; `build` wires them to what people see.

    Args:
        checkpoint: the file the parser comes from, to be shown.
        detector: finds people, where a visitor asks for it; without one nobody can.
    """

    def __init__(
        self, parser: HumanParser, checkpoint: str, limits: Limits, detector: PersonDetector | None = None
    ) -> None:
        self.parser = parser
        self.detector = detector
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
                    upload = picture_input(self.limits, examples)
                    several = [] if self.detector is None else [several_people()]
                with gr.Column(scale=3, min_width=320):
                    view, legend = view_and_legend()
                    opacity = gr.Slider(0, 1, OPACITY, step=0.05, label="Opacity", elem_id="opacity")
                    scales, mirror = accuracy()
                    buttons = download_buttons()
            opacity.input(None, opacity, None, js=_SEND_OPACITY, api_visibility="private")
            shared: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1, "api_visibility": "private"}
            outputs = [view, legend]
            settings: list[Any] = [scales, mirror, *several]
            upload.change(self.parse_upload, [upload, *settings], outputs, show_progress_on=view, **shared)
            gr.on(
                [setting.change for setting in settings],
                self.parse_again,
                [legend, *settings],
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
        self,
        upload: Upload | None,
        scales: Sequence[float],
        mirror: bool,
        request: gr.Request,
        several: bool = False,  # behind the request, which Gradio puts in, because not every page asks for it
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parse a new picture, and keep it; return the values of view and legend."""
        if upload is None:
            return _nothing("")
        try:
            picture = read_upload(upload.path, upload.name, self.limits, self.folder.path)
            parsed = self._parse(_plain_name(upload.name), picture, scales, mirror, several)
        except (UploadError, torch.OutOfMemoryError) as error:
            return _nothing(_warn(error))
        self._keep_file(request, "upload", Path(upload.path).resolve())
        return self._results(request, parsed, hidden=frozenset())

    def parse_again(
        self,
        legend: dict[str, Any] | None,
        scales: Sequence[float],
        mirror: bool,
        request: gr.Request,
        several: bool = False,
    ) -> Any:
        """Parse the same picture with other settings; classes and people that were switched off stay so."""
        if not _is_parsed(legend):
            return gr.skip(), gr.skip()
        try:
            before = self._parsed(request, legend)
            parsed = self._parse(before.name, before.picture, scales, mirror, several)
        except (UploadError, torch.OutOfMemoryError) as error:
            _warn(error)
            return gr.skip(), gr.skip()
        return self._results(request, parsed, _indices(legend, "rows") - _indices(legend, "shown"))

    def make_file(self, kind: str, legend: dict[str, Any] | None, opacity: float, request: gr.Request) -> str | None:
        """Return the path of a download of one of `KINDS`, in the page's own folder, which is cleared regularly."""
        try:
            parsed = self._parsed(request, legend)
        except UploadError as error:
            _warn(error)
            return None
        name, content = download(kind, parsed, self.parser.description, self.shown(legend, parsed.numbers), opacity)
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

    def _parse(self, name: str, picture: Picture, scales: Sequence[float], mirror: bool, several: bool) -> Parsed:
        """Parse a picture, whole or person by person."""
        people: Any = {}
        if several and self.detector is not None:
            people = {"person_boxes": parsed_boxes(self.detector.detect(picture)), "return_people": True}
        found = self.parser.predict(
            picture,
            scales=_checked_scales(scales),
            mirror=mirror,
            alpha_of=self.parser.description.foreground,
            **people,
        )
        assert found.alpha is not None  # since it was asked for
        return Parsed(name, picture, found.classes, found.alpha, found.people)

    def _parsed(self, request: gr.Request, legend: dict[str, Any] | None) -> Parsed:
        """Return a session's picture. Raises UploadError where there is none, or no longer."""
        parsed = self._pictures.get(_session(request), "picture")
        if parsed is None:
            raise UploadError(
                "This page had to forget your picture, after an hour or for those of others. Please choose it again."
                if _is_parsed(legend)
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

    def shown(self, legend: dict[str, Any] | None, numbers: Sequence[int] = ()) -> list[int]:
        """Return the switches of classes, and of people with these numbers, that are on, of what the browser says."""
        said = _indices(legend, "shown")
        return [index for index in (*range(self.parser.num_classes), *(PEOPLE + n for n in numbers)) if index in said]

    def _results(self, request: gr.Request, parsed: Parsed, hidden: Set[int]) -> tuple[dict[str, Any], dict[str, Any]]:
        self._pictures.keep(_session(request), "picture", parsed, parsed.nbytes)
        rows = legend_rows(parsed, self.parser.description)
        shown = [row["index"] for row in rows if row["index"] not in hidden]
        view = scene(parsed, self.parser.description, shown) | {"number": next(self._numbers)}
        if not rows and parsed.people is None:
            view["note"] = "The network found nobody in this picture."
        elif not rows:
            view["note"] = "Nobody was found in this picture; without “Several people” it is parsed whole."
        return view, {"parsed": True, "rows": rows, "shown": shown}

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


def _session(request: gr.Request) -> str:
    return str(request.session_hash)


def _indices(legend: dict[str, Any] | None, name: str) -> frozenset[int]:
    """Return the indices of the legend's "rows", or those "shown", as the browser, or whoever poses as one, says."""
    said = legend.get(name) if isinstance(legend, dict) else None
    if not isinstance(said, list):
        return frozenset()
    values = (value.get("index") if isinstance(value, dict) else value for value in said)
    return frozenset(value for value in values if isinstance(value, int))


def _is_parsed(legend: dict[str, Any] | None) -> bool:
    """Return whether a legend belongs to a picture, be it one without rows, in which nobody was found."""
    return isinstance(legend, dict) and legend.get("parsed") is True


def _plain_name(name: str) -> str:
    """Return a file's name without its suffix and without what no disk takes in a name."""
    return "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in Path(name).stem)


def _nothing(note: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"note": note}, {"parsed": False, "rows": [], "shown": []}


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
