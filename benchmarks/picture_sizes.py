"""What do large pictures cost? Times what comes after the network, beside the network on the same device.

The class map of a picture, with smooth borders and the published ones, and the soft alpha of a cut-out, at 0.3, 3, 12
and 48 megapixels. On the CPU all of it on one core, as `HumanParser` parses a picture. The network has random weights,
of which the logits would be noise; those interpolated are of a drawn person's labels, blurred as a network's are, and
noise for the worst case.

    python benchmarks/picture_sizes.py
    python benchmarks/picture_sizes.py --device cuda --repeat 20
"""

import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, report, take_turns
from dataset.command import run_command
from dataset.descriptions import BUILT_IN
from dataset.geometry import fit_label_to_crop
from dataset.people import draw_person
from networks import CSENet
from utils.inference.borders import picture_alpha
from utils.inference.canvas import Canvas
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine
from utils.inference.options import Wanted

LIP = BUILT_IN["lip"]
SIZES = {"0.3": (640, 480), "3": (2000, 1500), "12": (4000, 3000), "48": (8000, 6000)}
"""Megapixels, and (height, width)."""


def person_logits(input_size: tuple[int, int]) -> Tensor:
    """Return logits (K, h, w) such as a trained network gives for a person: its labels, blurred over three pixels."""
    _, label = draw_person(58, (640, 480))
    fitted = fit_label_to_crop(label, input_size)
    planes = [cv2.GaussianBlur((fitted == index).astype(np.float32), (0, 0), 3) for index in range(LIP.num_classes)]
    return torch.from_numpy(16 * np.stack(planes))


def runs_for(logits: Tensor, size: tuple[int, int]) -> dict[str, Callable[[], object]]:
    """Return what is timed at one size: each ends on the CPU, as results do."""

    def part(wanted: Wanted) -> None:
        canvas = Canvas(None, size, None, wanted)
        canvas.paint(0, canvas.part(0, logits))

    return {
        "smooth": partial(part, Wanted(LIP)),
        "published": partial(part, Wanted(LIP, borders="published")),
        "alpha": lambda: picture_alpha(logits, size, LIP.foreground).cpu(),
    }


def main() -> None:
    options = option_parser(__doc__, warmup=1, repeat=5).parse_args()
    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    model = CSENet(LIP.num_classes, options.size).eval().to(device)
    network = CropParser(TorchEngine(model, device), flip_pairs=LIP.flip_pairs, cores=1)
    crop = torch.randint(0, 256, (1, 3, *options.size), dtype=torch.uint8)
    runs: dict[str, Callable[[], object]] = {"network": partial(network.logits, crop)}
    person, noise = person_logits(options.size).to(device), torch.randn(LIP.num_classes, *options.size, device=device)
    for name, size in SIZES.items():
        runs |= {f"{name} {kind}": run for kind, run in runs_for(person, size).items()}
    runs["12 noise"] = runs_for(noise, SIZES["12"])["smooth"]
    times = {name: statistics.median(values) for name, values in take_turns(runs, options).items()}
    whole = times["network"]
    print(f"The network, with mirror: {whole:.3f} s; what comes after it, in seconds and in percent of that:")
    print(f"{'megapixels':<12}{'smooth borders':>20}{'published borders':>20}{'soft alpha':>20}")
    for name in SIZES:
        cells = [times[f"{name} {kind}"] for kind in ("smooth", "published", "alpha")]
        print(f"{name:<12}" + "".join(f"{f'{cell:.3f} ({100 * cell / whole:.1f} %)':>20}" for cell in cells))
    print(f"Smooth borders of noise, 12 megapixels: {times['12 noise']:.3f} ({100 * times['12 noise'] / whole:.1f} %)")
    height, width = options.size
    report(options, f"crop {height} x {width}, 20 classes", {"seconds": times})


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
