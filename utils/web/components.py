"""The parts of the web page that people look at and set: overlay, legend, accuracy and download buttons."""

from pathlib import Path

import gradio as gr

from utils.web.results import KINDS

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
_LEGEND_HTML = """\
<div class="classes" role="group" aria-label="classes"></div>
<div class="tools" hidden>
  <button type="button" class="all">show all</button><button type="button" class="none">show none</button>
</div>
"""


def view_and_legend() -> tuple[gr.HTML, gr.HTML]:
    """Return the overlay and its legend, each drawn by a script of its own."""
    view = gr.HTML(
        None,
        html_template=_VIEW_HTML,
        js_on_load=(_FOLDER / "view.js").read_text(encoding="utf-8"),
        elem_id="view",
        elem_classes="parsing-view",
        min_height=200,
        apply_default_css=False,
        opacity=OPACITY,
    )
    legend = gr.HTML(
        None,
        html_template=_LEGEND_HTML,
        js_on_load=(_FOLDER / "legend.js").read_text(encoding="utf-8"),
        elem_id="legend",
        elem_classes="parsing-legend",
        apply_default_css=False,
    )
    return view, legend


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
    labels = {"mask": "Mask", "overlay": "Overlay", "cutout": "Cut-out"}
    gr.Markdown("**Download**", elem_id="download")
    with gr.Row():
        buttons = {kind: gr.Button(labels[kind], elem_id=kind, min_width=90) for kind in KINDS}
    gr.Markdown(
        "<small>The mask is a palette PNG whose values are the class indices, with all classes. Overlay and cut-out "
        "(transparent background) have the classes that are switched on.</small>"
    )
    return buttons
