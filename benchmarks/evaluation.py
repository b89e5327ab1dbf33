"""What does an evaluation add to the network? The seconds of a whole folder, in units of the bare network's.

A folder of drawn people is evaluated as evaluate.py does it: read, fit to crops, parsed with the mirror image, mapped
back, counted. The bare network parses as many crops that are already in memory, each with its mirror image, and does
nothing else. They take turns. Before that, the evaluation's confusion matrix is compared with one that is counted here
from the same class maps, picture by picture.

    python benchmarks/evaluation.py --pictures 16
    python benchmarks/evaluation.py --device cuda --amp bf16 --pictures 512 --scales 0.75,1,1.25
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, ratio, report, take_turns
from dataset.command import run_command
from dataset.descriptions import BUILT_IN, Sample, list_samples
from dataset.geometry import back_to_picture, fit_to_crop
from dataset.normalise import normalise
from dataset.options import COUNT, WORKERS_OR_NONE
from dataset.people.folder import make_dataset
from dataset.reading import read_sample
from networks import CSENet
from utils.cli import IMAGES_AT_ONCE, parse_options, scales_option
from utils.distributed import Processes
from utils.evaluation.engine import evaluate
from utils.inference.crop_parser import CropParser, fused_logits
from utils.inference.engines import TorchEngine
from utils.metrics import ConfusionMatrix

LIP = BUILT_IN["lip"]


def check(found: NDArray[np.int64], parser: CropParser, samples: Sequence[Sample], size: tuple[int, int]) -> None:
    """Raise AssertionError where the samples, parsed and counted one by one, give another matrix."""
    expected = ConfusionMatrix(LIP.num_classes)
    for sample in samples:
        image, label = read_sample(sample, LIP)
        crop = torch.from_numpy(fit_to_crop(image, size)).permute(2, 0, 1)[None].contiguous()
        height, width = label.shape
        expected.update(back_to_picture(parser.classes(crop)[0].cpu().numpy(), (height, width)), label)
    off = np.abs(found - expected.matrix).sum() / expected.matrix.sum()
    assert off <= 1e-3, f"{off:.2%} of the pixels are counted otherwise than one by one"


def bare_network(engine: TorchEngine, options: argparse.Namespace) -> Callable[[], None]:
    """Return a function that parses as many crops as there are pictures, each with its mirror image."""
    crops = torch.randint(256, (options.batch, 3, *options.size), dtype=torch.uint8)

    @torch.inference_mode()
    def run() -> None:
        for start in range(0, options.pictures, options.batch):
            images = normalise(crops[: options.pictures - start].to(engine.device))
            for part in images.split(1) if engine.device.type == "cpu" else [images]:
                fused_logits(engine, part, scales=options.scales)

    return run


def main() -> None:
    arguments = option_parser(__doc__, warmup=0, repeat=3)
    add = arguments.add_argument
    add("--pictures", type=COUNT, default=16, help="in the folder (16)")
    add("--batch", type=IMAGES_AT_ONCE, default=8, help="pictures at once (8)")
    add("--scales", type=scales_option, default=(1.0,), metavar="S,S...", help="of the crop, averaged (1)")
    add("--num-workers", type=WORKERS_OR_NONE, default=1, help="processes that read pictures (1)")
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--amp", choices=("off", "bf16", "fp16"), default="off", help="autocast (off: float32)")
    options = parse_options(arguments)
    device = torch.device(options.device)
    engine = TorchEngine(CSENet(20, options.size, depth=options.depth).eval().to(device), device, amp=options.amp)
    parser = CropParser(engine, scales=options.scales, flip_pairs=LIP.flip_pairs, deterministic=True)

    def evaluated(samples: Sequence[Sample]) -> NDArray[np.int64]:
        return evaluate(
            parser,
            samples,
            LIP,
            Processes(0, 1, 1, device),
            input_size=options.size,
            batch_size=options.batch,
            num_workers=options.num_workers,
            title="folder",
        ).exact.confusion.matrix

    with tempfile.TemporaryDirectory() as name:
        folder = make_dataset(Path(name, "people"), num_train=1, num_val=max(2, options.pictures))
        samples = list_samples(folder, LIP, "val")
        check(evaluated(samples[:2]), parser, samples[:2], options.size)
        runs = {"folder": lambda: evaluated(samples[: options.pictures]), "network": bare_network(engine, options)}
        times = take_turns(runs, options)
    of_network = ratio(times["folder"], times["network"])
    for name, seconds in times.items():
        print(f"{name:<10}{statistics.median(seconds) / options.pictures:>8.3f} s a picture")
    print(f"Evaluating the folder takes {of_network} times as long as the bare network")
    height, width = options.size
    report(
        options,
        f"{options.pictures} pictures, {height} x {width}, batch {options.batch}, scales {options.scales}, mirror, amp "
        f"{options.amp}, {options.num_workers} reading",
        {"seconds": times, "ratio": of_network._asdict()},
    )


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
