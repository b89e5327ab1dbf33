"""What the benchmarks share: options, a training step, runs that take turns, and saying what was measured on what.

The yardstick is torchvision's DeepLabV3 with ResNet-101 and auxiliary head, as `deeplabv3_resnet101` gives it, eager
and in float32: a network that people know, of about the same cost. Figures in units of it carry over from machine to
machine.
"""

import argparse
import contextlib
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dataset.options import COUNT, PERIOD_OR_NEVER, OptionParser, Whole
from dataset.writing import write_json
from networks import CSENet, CSENetOutput
from utils.cli import device_option, size_option
from utils.device import AMP_DTYPES
from utils.losses import CSENetLoss
from utils.training.memory import lean_forward
from utils.training.state import fastest_layout

CLASSES = Whole(1, 255, "a label map has no more")
PACKAGES = ("torch", "torchvision", "numpy", "openvino", "onnxruntime")


class Ratio(NamedTuple):
    """How many times as long one thing takes as another, of runs that took turns."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def option_parser(description: str | None, *, warmup: int, repeat: int) -> OptionParser:
    """Return a parser with the options of all benchmarks: --device, --size, --warmup, --repeat, --json."""
    parser = OptionParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    device = "cuda" if torch.cuda.is_available() else "cpu"
    add("--device", type=device_option, default=device, help="cuda where there is")
    add("--size", type=size_option, default=(473, 473), metavar="H,W", help="of the crops (473,473)")
    add("--warmup", type=PERIOD_OR_NEVER, default=warmup, help=f"runs that do not count ({warmup})")
    add("--repeat", type=COUNT, default=repeat, help=f"runs that count ({repeat})")
    add("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser


def yardstick(num_classes: int = 20) -> nn.Module:
    """Return torchvision's DeepLabV3 with ResNet-101 and auxiliary head, with random weights, on the CPU.

    It returns {"out": (N, K, H, W), "aux": likewise} for images (N, 3, H, W).
    """
    # Here, because it takes three seconds, and not all benchmarks need it.
    from torchvision.models.segmentation import deeplabv3_resnet101

    network: nn.Module = deeplabv3_resnet101(
        weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True
    )
    return network


def network_and_batch(
    count: int, size: tuple[int, int], options: argparse.Namespace, layout: torch.memory_format | None = None
) -> tuple[CSENet, Tensor, Tensor]:
    """Return a network of 20 classes, images (N, 3, H, W) and labels (N, H, W): random, and the same each time.

    `layout` is that of network and images in memory, if not that of a training.
    """
    device = torch.device(options.device)
    layout = layout or fastest_layout(device)
    torch.manual_seed(0)
    network = CSENet(20, size, depth=options.depth).to(device).to(memory_format=layout)
    images = torch.randn(count, 3, *size).to(device).contiguous(memory_format=layout)
    return network, images, torch.randint(20, (count, *size), dtype=torch.uint8).to(device)


def autocast(device: torch.device, amp: str) -> torch.autocast:
    """Return the context of a forward pass in "bf16", "fp16", or with "off" in float32."""
    return torch.autocast(device.type, AMP_DTYPES[amp], enabled=amp != "off")


def training_step(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: Callable[[Any, Tensor], tuple[Tensor, object]],
    amp: str = "off",
) -> Callable[[], Tensor]:
    """Return a function that does a training step as `utils.training.step` does, and returns what its loss was.

    The learning rate is 0 and dropout the same each time, so that every step does the same work on the same numbers.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4, fused=True)
    lean = isinstance(criterion, CSENetLoss) and images.device.type == "cpu"

    def step() -> Tensor:
        torch.manual_seed(0)
        optimizer.zero_grad(set_to_none=True)
        with autocast(images.device, amp), lean_forward(network) if lean else contextlib.nullcontext():
            out = network(images)
        loss = criterion(out, labels)[0]
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def loss_alone(criterion: CSENetLoss, out: CSENetOutput, labels: Tensor) -> Callable[[], object]:
    """Return a function that computes the loss of a network's outputs, and its gradient by them."""
    leaves = CSENetOutput(*(x.detach().requires_grad_() for x in out))
    return lambda: torch.autograd.grad(criterion(leaves, labels)[0], list(leaves))


def take_turns(runs: Mapping[str, Callable[[], object]], options: argparse.Namespace) -> dict[str, list[float]]:
    """Time each run --repeat times, after --warmup times that do not count; return the seconds by name.

    They take turns, so that a machine that gets slower or faster in between does so for all. A run is timed from an
    idle device to an idle device.
    """
    wait = torch.cuda.synchronize if torch.device(options.device).type == "cuda" else lambda _: None
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(options.warmup + options.repeat):
        for name, run in runs.items():
            wait(options.device)
            started = time.perf_counter()
            run()
            wait(options.device)
            if repetition >= options.warmup:
                times[name].append(time.perf_counter() - started)
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float], factor: float = 1.0) -> Ratio:
    """Return seconds in units of those of another run, turn by turn; `factor` multiplies all."""
    ratios = [factor * a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def report(options: argparse.Namespace, what: str, figures: Mapping[str, object]) -> None:
    """Print what was measured on what, without which figures are worth nothing; --json gets it with the figures."""
    device = torch.device(options.device)
    if device.type == "cuda":
        chip, threads = torch.cuda.get_device_name(device), None
    else:
        chip, threads = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}", torch.get_num_threads()
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):  # an extra that is not installed
            versions[package] = version(package)
    where = chip if threads is None else f"{chip}, threads: {threads}"
    releases = ", ".join(f"{name} {release}" for name, release in versions.items())
    print(f"{what}; {options.repeat} passes after {options.warmup}; {where}; {releases}")
    if options.json:
        asked = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
        write_json(options.json, asked | {"device": chip, "threads": threads, "versions": versions} | dict(figures))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
