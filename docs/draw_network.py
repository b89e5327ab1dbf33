"""Draw the figure of the network: `python -m docs.draw_network` writes docs/images/network.svg.

The shapes are those that the real network has for a 473 x 473 image, taken while such an image passes through it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from networks import CSENet

FIGURE = Path(__file__).parent / "images" / "network.svg"
WIDTH, HEIGHT = 1240, 700
BACKBONE, STAGE, OTHER, OUTPUT = "#dbe7f5", "#fdf0cf", "#e3f1df", "#ffffff"
SUBTRACT, ADD, INK, PALE = "#c0392b", "#2e7d32", "#222222", "#777777"

Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle by its left upper corner."""

    x: float
    y: float
    width: float = 170
    height: float = 52

    @property
    def left(self) -> Point:
        return self.x, self.y + self.height / 2

    @property
    def right(self) -> Point:
        return self.x + self.width, self.y + self.height / 2

    @property
    def top(self) -> Point:
        return self.x + self.width / 2, self.y

    @property
    def bottom(self) -> Point:
        return self.x + self.width / 2, self.y + self.height


class Drawing:
    """Collects the elements of an SVG."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def box(self, box: Box, name: str, shape: str = "", fill: str = OTHER, weight: str = "bold") -> Box:
        """Draw a rectangle with a name, and a shape below it; return the rectangle."""
        self.elements.append(
            f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="6" fill="{fill}" '
            f'stroke="{INK}"/>'
        )
        x, y = box.x + box.width / 2, box.y + box.height / 2
        if shape:
            self.text((x, y - 4), name, weight="bold")
            self.text((x, y + 15), shape, size=13)
        else:
            self.text((x, y + 5), name, weight=weight)
        return box

    def text(
        self, at: Point, text: str, *, size: int = 14, anchor: str = "middle", colour: str = INK, weight: str = "normal"
    ) -> None:
        self.elements.append(
            f'<text x="{at[0]:g}" y="{at[1]:g}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{text}</text>'
        )

    def arrow(self, *points: Point, colour: str = INK, head: bool = True) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = ' marker-end="url(#head)"' if head else ""
        self.elements.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{end}/>')

    def sign(self, at: Point, sign: str) -> None:
        """Draw a circle with a minus or a plus."""
        colour = ADD if sign == "+" else SUBTRACT
        self.elements.append(f'<circle cx="{at[0]:g}" cy="{at[1]:g}" r="12" fill="{colour}"/>')
        self.text((at[0], at[1] + 6), sign, size=18, colour="white", weight="bold")

    def svg(self) -> str:
        lines = "\n".join(self.elements)
        return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Helvetica, Arial, sans-serif">
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0,1 L10,5 L0,9 z" fill="{INK}"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
{lines}
</svg>
"""


def measured_shapes() -> dict[str, list[str]]:
    """Return the shapes of what each part of the network returns for one image, by the part's name."""
    shapes: dict[str, list[str]] = {}

    def remember(name: str) -> None:
        def hook(_module: nn.Module, _inputs: object, output: Tensor | Sequence[Tensor]) -> None:
            outputs = [output] if isinstance(output, Tensor) else output
            shapes[name] = [" × ".join(str(size) for size in one.shape[1:]) for one in outputs]

        model.get_submodule(name).register_forward_hook(hook)

    with torch.device("meta"), torch.no_grad():
        model = CSENet().eval()
        for name, _ in model.named_children():
            remember(name)
        model(torch.empty(1, 3, *model.input_size))
        shapes["image"] = [f"3 × {model.input_size[0]} × {model.input_size[1]}"]
    return shapes


def draw_backbone(drawing: Drawing, shapes: dict[str, list[str]]) -> dict[str, Box]:
    """Draw the image and the ResNet's maps in a column; return the maps' boxes, by name."""
    column, names = 30, ("C2", "C3", "C4", "C5")
    image = drawing.box(Box(column, 620, 150), "image", shapes["image"][0], OUTPUT)
    maps = {}
    below = image
    for number, (name, shape) in enumerate(zip(names, shapes["backbone"], strict=True)):
        box = drawing.box(Box(column, 500 - 110 * number, 150), name, shape, BACKBONE)
        drawing.arrow(below.top, box.bottom)
        maps[name] = below = box
    drawing.text((column + 83, 150), "ResNet-101", anchor="start", weight="bold", colour=PALE)
    return maps


def draw_stages(drawing: Drawing, shapes: dict[str, list[str]], maps: dict[str, Box]) -> Box:
    """Draw what lies above and beside the backbone, down to the fourth stage, and return that one's box."""
    context = drawing.box(Box(230, 50), "context alignment", shapes["context_alignment"][0], STAGE)
    guided, rows, columns = shapes["class_distribution"]
    guidance = drawing.box(Box(480, 50, 190), "class distribution", guided)
    drawing.arrow(maps["C5"].top, (maps["C5"].top[0], context.left[1]), context.left)
    drawing.arrow(context.right, guidance.left)
    output(drawing, guidance.right, "rows, columns", f"{rows}, {columns}")

    above = guidance
    for number, name in enumerate(("C5", "C4", "C3", "C2"), 1):
        stage = drawing.box(Box(480, maps[name].y, 190), f"stage {number}", shapes[f"stage{number}"][0], STAGE)
        drawing.arrow(maps[name].right, stage.left)
        drawing.text((stage.x - 8, stage.left[1] - 7), "low", size=13, anchor="end", colour=PALE)
        drawing.arrow(above.bottom, stage.top)
        drawing.text((stage.top[0] + 8, stage.y - 12), "high", size=13, anchor="start", colour=PALE)
        above = stage

    coarse = drawing.box(Box(240, 340, 120, 36), "head")
    drawing.arrow((300, maps["C4"].right[1]), coarse.top)
    drawing.arrow(coarse.bottom, (300, 398))
    drawing.text((310, 393), "coarse", anchor="start", weight="bold")
    drawing.text((310, 409), shapes["coarse_head"][0], size=13, anchor="start")
    return above


def output(drawing: Drawing, start: Point, name: str, shape: str) -> None:
    """Draw an arrow to the right that ends in an output's name and shape."""
    x, y = start
    drawing.arrow(start, (x + 40, y))
    drawing.text((x + 48, y - 2), name, anchor="start", weight="bold")
    drawing.text((x + 48, y + 15), shape, size=13, anchor="start")


def draw_refinement(drawing: Drawing, shapes: dict[str, list[str]], stage: Box) -> None:
    """Draw what follows the last stage, from left to right: affinity, edges, and the heads."""
    affinity = drawing.box(Box(stage.x, 620, 190), "pixel affinity", shapes["pixel_affinity"][0])
    drawing.arrow(stage.bottom, affinity.top)
    edge = drawing.box(Box(740, 620), "edge branch", shapes["edge"][0])
    head = drawing.box(Box(980, 620, 70), "head")
    drawing.arrow(affinity.right, edge.left)
    drawing.arrow(edge.right, head.left)
    for x, names in ((affinity.x + 28, "C2, C4"), (edge.x + 56, "C2")):
        drawing.arrow((x, 600), (x, edge.y))
        drawing.text((x, 594), names, size=13, colour=PALE)
    body, middle = affinity.right[0] + 30, affinity.right[1]
    drawing.arrow((body, middle), (body, 592))
    drawing.text((body, 570), "body", weight="bold")
    drawing.text((body, 586), shapes["body_head"][0], size=13)
    x = edge.right[0] - 30
    drawing.arrow((x, edge.y), (x, 592))
    drawing.text((x, 570), "edge", weight="bold")
    drawing.text((x, 586), shapes["edge"][1], size=13)
    drawing.arrow(head.right, (head.right[0] + 22, head.right[1]))
    drawing.text((head.right[0] + 28, head.right[1] - 2), "final", anchor="start", weight="bold")
    drawing.text((head.right[0] + 28, head.right[1] + 15), shapes["final_head"][0], size=12, anchor="start")


def draw_inside(drawing: Drawing) -> None:
    """Draw what all stages and the context alignment do with their two maps: what is subtracted, what is added."""
    frame = Box(720, 130, 500, 410)
    drawing.elements.append(
        f'<rect x="{frame.x:g}" y="{frame.y:g}" width="{frame.width:g}" height="{frame.height:g}" rx="8" '
        f'fill="{STAGE}" stroke="{PALE}" stroke-dasharray="4 3"/>'
    )
    low, middle, high, y = 850.0, 950.0, 1050.0, 168.0
    drawing.text((middle, frame.y + 24), "inside a stage", weight="bold")
    for x, name in ((low, "low: detail"), (high, "high: meaning")):
        drawing.box(Box(x - 65, y, 130, 28), name, fill=OUTPUT)
        drawing.arrow((x, y + 28), (x, y + 116))
        drawing.sign((x, y + 128), "+")
        drawing.arrow((x, y + 140), (x, y + 156))
        drawing.box(Box(x - 65, y + 156, 130, 28), "warp by a flow", fill=OUTPUT, weight="normal")
        drawing.arrow((x, y + 184), (x, y + 272))
        drawing.sign((x, y + 284), "+")
        drawing.arrow((x, y + 296), (x, y + 326), (middle + (14 if x > middle else -14), y + 326))
    differ(drawing, (low, middle, high), y + 56, "averages g of the maps", "a of each channel")
    differ(drawing, (low, middle, high), y + 212, "the maps themselves", "w of each pixel")
    for dy, added_to_low, added_to_high in (
        (133, "(1 + γ a) g low", "(1 + β (1 − a)) g high"),
        (289, "(1 − w) low", "w high"),
    ):
        drawing.text((low - 18, y + dy), added_to_low, size=13, anchor="end", colour=ADD)
        drawing.text((high + 18, y + dy), added_to_high, size=13, anchor="start", colour=ADD)
    drawing.sign((middle, y + 326), "+")
    drawing.arrow((middle, y + 338), (middle, y + 364))


def differ(drawing: Drawing, columns: tuple[float, float, float], y: float, what: str, weight: str) -> None:
    """Draw that two maps are subtracted, and that their difference becomes the weights with which both are added."""
    low, middle, high = columns
    drawing.sign((middle, y), "−")
    drawing.arrow((low, y), (middle - 14, y))
    drawing.arrow((high, y), (middle + 14, y))
    drawing.text((middle, y - 17), what, size=12, colour=SUBTRACT)
    box = drawing.box(Box(middle - 65, y + 24, 130, 26), weight, fill=OUTPUT, weight="normal")
    drawing.arrow((middle, y + 12), box.top)
    for side, x in ((-1, low), (1, high)):
        drawing.arrow((middle + side * 28, y + 50), (middle + side * 28, y + 72), (x - side * 14, y + 72))


def draw() -> str:
    """Return the figure as SVG."""
    drawing, shapes = Drawing(), measured_shapes()
    maps = draw_backbone(drawing, shapes)
    stage = draw_stages(drawing, shapes, maps)
    draw_refinement(drawing, shapes, stage)
    draw_inside(drawing)
    return drawing.svg()


def main() -> int:
    """Write the figure."""
    FIGURE.write_text(draw(), encoding="utf-8")
    print(f"'{FIGURE}' is written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
