"""How fast is the network? Times its forward pass beside torchvision's DeepLabV3 with ResNet-101, on the same input.

Both have random weights, which cost the same time as trained ones. They take turns, so that a machine that gets slower
or faster in between does so for both; the first passes of each are not counted.

    python benchmarks/inference_speed.py
    python benchmarks/inference_speed.py --device cuda --amp bf16 --channels-last --compile --batch 16
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import CLASSES, add_options, autocast, ratio, setting, setting_line, take_turns, yardstick
from dataset.options import OptionParser
from networks import CSENet
from utils.cli import IMAGES_AT_ONCE, parse_options
from utils.files import write_json


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, warmup=2, repeat=10)
    parser.add_argument("--batch", type=IMAGES_AT_ONCE, default=1, help="images at once (1)")
    parser.add_argument("--classes", type=CLASSES, default=20, help="number of classes (20)")
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="autocast (off: float32)")
    parser.add_argument("--channels-last", action="store_true", help="lay the channels out last")
    parser.add_argument("--compile", action="store_true", help="torch.compile both networks")
    return parse_options(parser)


def main() -> None:
    """Time both networks and print what was measured on what."""
    options = read_options()
    device = torch.device(options.device)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    networks: dict[str, nn.Module] = {
        "CSENet": CSENet(options.classes, options.size),
        "DeepLabV3 (torchvision)": yardstick(options.classes),
    }
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)

    def forward_of(network: nn.Module) -> Callable[[], object]:
        network = network.eval().to(device).to(memory_format=layout)
        run: Callable[[Tensor], object] = torch.compile(network) if options.compile else network

        def forward() -> object:
            with torch.inference_mode(), autocast(device, options.amp):
                return run(images)

        return forward

    forwards = {name: forward_of(network) for name, network in networks.items()}
    times = take_turns(forwards, device, warmup=options.warmup, repeat=options.repeat)
    print(f"{'network':<26}{'images/s':>10}{'ms/image, median':>20}{'fastest':>10}{'slowest':>10}")
    for name, values in times.items():
        figures = [1000 * value / options.batch for value in (statistics.median(values), min(values), max(values))]
        print(f"{name:<26}{1000 / figures[0]:>10.2f}{figures[0]:>20.1f}{figures[1]:>10.1f}{figures[2]:>10.1f}")
    ours, theirs = times.values()
    print(f"CSENet takes {ratio(ours, theirs)} times as long as DeepLabV3")
    height, width = options.size
    print(
        f"{options.batch} x 3 x {height} x {width}, {options.classes} classes, amp {options.amp}, "
        f"{'channels last, ' if options.channels_last else ''}{'compiled' if options.compile else 'eager'}; "
        f"{options.repeat} passes after {options.warmup}; {setting_line(device)}"
    )
    if options.json:
        write_json(
            options.json,
            {**setting(device), "options": {k: str(v) for k, v in vars(options).items()}, "seconds": times},
        )


if __name__ == "__main__":
    main()
