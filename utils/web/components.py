"""The parts of the web page that people look at and set: picture, overlay, legend, settings and download buttons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from utils.web.results import KINDS
from utils.web.upload import Limits, formats_text

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
OPACITY = 0.6

_FOLDER = Path(__file__).parent
_VIEW_HTML = """\
<figure hidden>
  <img alt="the parsed picture">
  <canvas></canvas>
  <div class="class-label" hidden><span></span><span></span></div>
</figure>
<p class="note" data-empty="Choose a picture, or one of the examples, and its classes appear here."></p>
"""
_SWITCHES_HTML = """\
<section class="{kind}">
  <div class="switches" role="group" aria-label="{kind}"></div>
  <div class="tools" hidden>
    <button type="button" class="all">show all</button><button type="button" class="none">show none</button>
  </div>
</section>
"""
_LEGEND_HTML = "".join(_SWITCHES_HTML.format(kind=kind) for kind in ("people", "classes"))


class Upload(NamedTuple):
    """A file as it came."""

    path: str
    name: str


def picture_input(limits: Limits, examples: Sequence[Path]) -> gr.Image:
    """Return the place for a picture, whose value is an `Upload`, with examples below it."""
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


def _as_uploaded(payload: Any) -> Upload | None:
    """Return an uploaded file as it came; `read_upload` checks that it is one."""
    if payload is None or payload.path is None:
        return None
    return Upload(payload.path, payload.orig_name or Path(payload.path).name)


def several_people() -> gr.Checkbox:
    """Return the choice to find people, and to parse each of them in a box of their own."""
    return gr.Checkbox(
        False,
        label="Several people",
        info="finds each person first and parses them one by one: better for groups, and takes longer with each",
        elem_id="several",
    )


def view_and_legend() -> tuple[gr.HTML, gr.HTML]:
    """Return the overlay and its legend, each drawn by a script of its own."""
    return _scripted("view", _VIEW_HTML, min_height=200, opacity=OPACITY), _scripted("legend", _LEGEND_HTML)


def _scripted(name: str, template: str, **properties: Any) -> gr.HTML:
    return gr.HTML(
        None,
        html_template=template,
        js_on_load=(_FOLDER / f"{name}.js").read_text(encoding="utf-8"),
        elem_id=name,
        elem_classes=f"parsing-{name}",
        apply_default_css=False,
        **properties,
    )


def accuracy() -> tuple[gr.CheckboxGroup, gr.Checkbox]:
    """Return the choices of test-time augmentation: scales and mirror."""
    with gr.Accordion("Accuracy", open=False, elem_id="accuracy"):
        scales = gr.CheckboxGroup(
            [(f"{scale:g}", scale) for scale in SCALES],
            value=[1.0],
            label="Scales",
            info="averaged; 0.75, 1 and 1.25 is the published protocol, and takes about three times as long",
            elem_id="scales",
        )
        mirror = gr.Checkbox(True, label="Average with the mirror image", elem_id="mirror")
    return scales, mirror


def download_buttons() -> dict[str, gr.Button]:
    """Return a button for each of `KINDS`."""
    gr.Markdown("**Download**", elem_id="download")
    with gr.Row():
        buttons = {kind: gr.Button(label, elem_id=kind, min_width=90) for kind, label in KINDS.items()}
    gr.Markdown(
        "<small>The mask is a palette PNG whose values are the class indices, with all classes. Overlay and cut-out "
        "(transparent background) have what is switched on.</small>"
    )
    return buttons
