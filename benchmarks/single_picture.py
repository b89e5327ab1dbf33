"""How long does `HumanParser.predict` take: one photograph, and several at once, with mirror and everything around?

From a picture in memory to its class map: fitting to the crop, the network on the crop and its mirror image, and the
map back at the picture's size. The unit is two forward passes of the yardstick, which take turns with it. Before that
the class maps are compared with those of the plain network, picture by picture.

    python benchmarks/single_picture.py
    python benchmarks/single_picture.py --engine openvino --pictures 1 --json picture.json
    python benchmarks/single_picture.py --amp bf16 --checkpoint snapshots/LIP_epoch_Best.pth --photographs photographs
"""

import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, ratio, report, take_turns, yardstick
from benchmarks.inference_speed import build, recorded_network
from dataset.command import run_command
from dataset.descriptions import BUILT_IN
from dataset.people import draw_person
from utils.checkpoint.snapshots import load_model
from utils.cli import IMAGES_AT_ONCE, parse_options
from utils.inference import HumanParser
from utils.inference.engines import FinalLogits

PICTURE = (640, 480)
MIN_AGREEMENT = 0.999


class PlainEngine(FinalLogits):
    """The network as it is trained, with nothing folded: what class maps are compared with."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=3)
    parser.add_argument("--pictures", type=IMAGES_AT_ONCE, nargs="+", default=[1, 8], help="how many at once (1 8)")
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="of the engine (off: float32)")
    parser.add_argument("--engine", choices=("torch", "openvino"), default="torch", help="what computes (torch)")
    parser.add_argument("--deterministic", action="store_true", help="each crop on one core")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="its weights, instead of random ones")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="compare class maps of all in here")
    options = parse_options(parser)
    device = torch.device(options.device)
    if options.checkpoint:
        network, known = load_model(options.checkpoint, input_size=options.size)
    else:
        network, known = recorded_network(options.size), None
    description = known or BUILT_IN["lip"]
    engine = build(options.engine, network, device, options.amp)
    engines = HumanParser(engine, description, options.size, deterministic=options.deterministic)
    plain = HumanParser(PlainEngine(network.to(device)), description, options.size)
    pictures = [np.ascontiguousarray(draw_person(i, PICTURE)[0][..., ::-1]) for i in range(max(options.pictures))]
    compared = sorted(options.photographs.iterdir()) if options.photographs else pictures[:2]
    if not compared:
        raise ValueError(f"'{options.photographs}' is empty: there is nothing to compare")
    shares = [float(np.mean(engines.predict(picture) == plain.predict(picture))) for picture in compared]
    agreement = statistics.mean(shares)
    print(
        f"classes agree with the plain network's on {agreement:.2%} of the pixels of {len(compared)} pictures, on "
        f"{min(shares):.2%} of one",
        flush=True,
    )
    assert options.amp != "off" or agreement >= MIN_AGREEMENT, "the engine computes something else"

    deeplab, image = yardstick().eval().to(device), torch.randn(1, 3, *options.size, device=device)
    two_forwards = torch.inference_mode()(lambda: (deeplab(image), deeplab(image)))
    runs: dict[str, Callable[[], object]] = {"two yardsticks": two_forwards}
    for count in options.pictures:
        runs[f"predict, {count} at once"] = partial(engines.predict, pictures[:count])
    times = take_turns(runs, options)
    rows = {}
    print(f"{'what':<22}{'s a picture, median':>20}{'in two yardsticks':>26}")
    for (name, seconds), count in zip(times.items(), [1, *options.pictures], strict=True):
        in_yardsticks = ratio(seconds, times["two yardsticks"], 1 / count)
        print(f"{name:<22}{statistics.median(seconds) / count:>20.2f}{in_yardsticks!s:>26}")
        rows[name] = {"seconds": seconds, "pictures": count, "ratio": in_yardsticks._asdict()}
    report(
        options,
        f"engine {options.engine}, amp {options.amp}, {'deterministic, ' if options.deterministic else ''}"
        f"crops of {options.size[0]} x {options.size[1]} with mirror, pictures of {PICTURE[0]} x {PICTURE[1]}",
        {"rows": rows},
    )


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
