"""How fast is the network? Times its forward pass beside torchvision's DeepLabV3 with ResNet-101, on the same input.

Both have random weights, which cost the same time as trained ones. They take turns, so that a machine that gets slower
or faster in between does so for both; the first passes of each are not counted.

    python benchmarks/inference_speed.py
    python benchmarks/inference_speed.py --device cuda --amp bf16 --channels-last --compile --batch 16
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from networks import CSENet
from utils.cli import size_option


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda where there is")
    parser.add_argument("--size", type=size_option, default=(473, 473), metavar="H,W", help="of the images (473,473)")
    parser.add_argument("--batch", type=int, default=1, help="images at once (1)")
    parser.add_argument("--classes", type=int, default=20, help="number of classes (20)")
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="autocast (off: float32)")
    parser.add_argument("--channels-last", action="store_true", help="lay the channels out last")
    parser.add_argument("--compile", action="store_true", help="torch.compile both networks")
    parser.add_argument("--warmup", type=int, default=2, help="passes that do not count (2)")
    parser.add_argument("--repeat", type=int, default=10, help="passes that count (10)")
    return parser.parse_args()


def autocast(device: torch.device, amp: str) -> AbstractContextManager[Any]:
    """Return the context for one forward pass."""
    if amp == "off":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if amp == "bf16" else torch.float16)


def seconds(forward: Callable[[], object], device: torch.device) -> float:
    """Time one pass, from an idle device to an idle device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def main() -> None:
    """Time both networks and print what was measured on what."""
    options = parse_options()
    device = torch.device(options.device)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    networks: dict[str, nn.Module] = {
        "CSENet": CSENet(options.classes, options.size),
        "DeepLabV3 (torchvision)": torchvision.models.segmentation.deeplabv3_resnet101(
            weights=None, weights_backbone=None, num_classes=options.classes
        ),
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
    times: dict[str, list[float]] = {name: [] for name in forwards}
    for repetition in range(options.warmup + options.repeat):
        for name, forward in forwards.items():
            taken = seconds(forward, device)
            if repetition >= options.warmup:
                times[name].append(taken)

    print(f"{'network':<26}{'images/s':>10}{'ms/image, median':>20}{'fastest':>10}{'slowest':>10}")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        figures = [1000 * value / options.batch for value in (medians[name], min(values), max(values))]
        print(f"{name:<26}{1000 / figures[0]:>10.2f}{figures[0]:>20.1f}{figures[1]:>10.1f}{figures[2]:>10.1f}")
    ours, theirs = medians.values()
    print(f"CSENet takes {ours / theirs:.2f} times as long as DeepLabV3")
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    height, width = options.size
    print(
        f"{chip}; {options.batch} x 3 x {height} x {width}, {options.classes} classes, amp {options.amp}, "
        f"{'channels last, ' if options.channels_last else ''}{'compiled' if options.compile else 'eager'}; "
        f"{options.repeat} passes after {options.warmup}; torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}"
    )


if __name__ == "__main__":
    main()
