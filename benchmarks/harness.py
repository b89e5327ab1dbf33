"""What the benchmarks share: runs that take turns, the yardstick, and saying what was measured on what.

The yardstick is torchvision's DeepLabV3 with ResNet-101 and auxiliary head, as `deeplabv3_resnet101` gives it, eager
and in float32: a network that people know, of about the same cost. Figures in units of it carry over from machine to
machine.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from dataset.options import COUNT, PERIOD_OR_NEVER, Whole
from utils.cli import device_option, size_option

CLASSES = Whole(1, 255, "a label map has no more")
PACKAGES = ("torch", "torchvision", "numpy", "openvino", "onnxruntime")


class Ratio(NamedTuple):
    """How many times as long one thing takes as another, of runs that took turns."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def add_options(parser: argparse.ArgumentParser, *, warmup: int, repeat: int) -> None:
    """Add the options that all benchmarks have: --device, --size, --warmup, --repeat, --json."""
    add = parser.add_argument
    add(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        type=device_option,
        help="cuda where there is",
    )
    add("--size", type=size_option, default=(473, 473), metavar="H,W", help="of the crops (473,473)")
    add("--warmup", type=PERIOD_OR_NEVER, default=warmup, help=f"runs that do not count ({warmup})")
    add("--repeat", type=COUNT, default=repeat, help=f"runs that count ({repeat})")
    add("--json", type=Path, metavar="FILE", help="also write the figures here")


def yardstick(num_classes: int = 20) -> nn.Module:
    """Return torchvision's DeepLabV3 with ResNet-101 and auxiliary head, with random weights, on the CPU.

    It returns {"out": (N, K, H, W), "aux": likewise} for images (N, 3, H, W).
    """
    network: nn.Module = torchvision.models.segmentation.deeplabv3_resnet101(
        weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=True
    )
    return network


def autocast(device: torch.device, amp: str) -> AbstractContextManager[Any]:
    """Return the context of a forward pass in "bf16", "fp16", or with "off" in float32."""
    if amp == "off":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if amp == "bf16" else torch.float16)


def step_of(network: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return a function that does a training step, with the optimiser of a training, and returns what its loss was.

    The learning rate is 0, so that every step does the same work on the same numbers.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, weight_decay=5e-4, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        return value.detach()

    return step


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time one run, from an idle device to an idle device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def take_turns(
    runs: Mapping[str, Callable[[], object]], device: torch.device, *, warmup: int, repeat: int
) -> dict[str, list[float]]:
    """Time each run `repeat` times, after `warmup` times that do not count; return the seconds by name.

    They take turns, so that a machine that gets slower or faster in between does so for all.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(warmup + repeat):
        for name, run in runs.items():
            taken = seconds(run, device)
            if repetition >= warmup:
                times[name].append(taken)
    return times


def ratio(ours: Sequence[float], theirs: Sequence[float], factor: float = 1.0) -> Ratio:
    """Return seconds in units of those of another run, turn by turn; `factor` multiplies all."""
    ratios = [factor * a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def setting(device: torch.device) -> dict[str, Any]:
    """Return the device, the number of threads and the releases: what figures are worth nothing without."""
    if device.type == "cuda":
        chip, threads = torch.cuda.get_device_name(device), None
    else:
        chip, threads = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}", torch.get_num_threads()
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an extra that is not installed
            continue
    return {"device": chip, "threads": threads, "versions": versions}


def setting_line(device: torch.device) -> str:
    """Return `setting` as text."""
    found = setting(device)
    threads = "" if found["threads"] is None else f", threads: {found['threads']}"
    return f"{found['device']}{threads}; " + ", ".join(f"{name} {v}" for name, v in found["versions"].items())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
