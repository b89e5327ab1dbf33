"""What does a GPU make of it? All of its figures as one Markdown table: training, loss, evaluation, memory.

Float32 is eager, in PyTorch's default layout, and exact: PyTorch's own default rounds what goes into a convolution to
TF32, which is a row of its own. The matrix rate is that of a large bf16 product on the same GPU. Before anything is
timed, loss and gradient are compared with those recorded from the published code.

    benchmarks/gpu.sh
    benchmarks/gpu.sh --batch 32 --compile
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import Ratio, add_options, autocast, ratio, setting, setting_line, step_of, take_turns
from benchmarks.training_step import GB, check_step
from dataset.command import run_command
from dataset.options import OptionParser
from dataset.writing import write_json
from networks import CSENet, CSENetOutput
from utils.cli import IMAGES_AT_ONCE
from utils.inference.crop_parser import MULTI_SCALES, fused_logits
from utils.inference.engines import TorchEngine
from utils.losses import CSENetLoss
from utils.training.state import fastest_layout

CLASSES = 20
SIDE_OF_PRODUCT = 8192
NO_GPU = 3
"""The exit status where there is no GPU."""


class Row(NamedTuple):
    """A line of the table."""

    what: str
    figure: str
    goal: str


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, warmup=3, repeat=10)
    add = parser.add_argument
    add("--batch", type=IMAGES_AT_ONCE, default=16, help="images a step (16)")
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--compile", action="store_true", help="compile the network of the bf16 rows")
    return parser.parse_args()


class Training(NamedTuple):
    """A training step on random images, and its loss alone."""

    step: Callable[[], Tensor]
    loss: Callable[[], None]
    network: nn.Module


def training(options: argparse.Namespace, amp: str) -> Training:
    """Return a step in `amp` and the layout that belongs to it, and the loss, forward and backward, of its outputs."""
    device = torch.device(options.device)
    layout = torch.contiguous_format if amp == "off" else fastest_layout(device)
    network = CSENet(CLASSES, options.size, depth=options.depth).train().to(device).to(memory_format=layout)
    if options.compile and amp != "off":
        network.compile()
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)
    labels = torch.randint(CLASSES, (options.batch, *options.size), dtype=torch.uint8, device=device)
    criterion = CSENetLoss(CLASSES)

    def outputs() -> CSENetOutput:
        with autocast(device, amp):
            out: CSENetOutput = network(images)
        return out

    def total() -> Tensor:
        value: Tensor = criterion(outputs(), labels)[0]
        return value

    with torch.no_grad():
        leaves = CSENetOutput(*(x.detach() for x in outputs()))
    leaves = CSENetOutput(*(x.requires_grad_() for x in leaves))

    def loss() -> None:
        torch.autograd.grad(criterion(leaves, labels)[0], list(leaves))

    return Training(step_of(network, total), loss, network)


def multi_scale(options: argparse.Namespace, amp: str) -> Callable[[], None]:
    """Return a function that parses a batch at three scales with mirror, in `amp` and the layout that belongs to it."""
    device = torch.device(options.device)
    layout = torch.contiguous_format if amp == "off" else fastest_layout(device)
    network = CSENet(CLASSES, options.size, depth=options.depth).eval().to(device).to(memory_format=layout)
    if options.compile and amp != "off":
        network.compile(dynamic=False)
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)
    engine = TorchEngine(network, device, amp=amp)

    @torch.inference_mode()
    def run() -> None:
        fused_logits(engine, images, scales=MULTI_SCALES).argmax(dim=1)

    return run


def with_tf32(run: Callable[[], object], allowed: bool) -> Callable[[], None]:
    """Return a function that runs with or without TF32 in convolutions."""

    def switched() -> None:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
            run()

    return switched


def step_flops(options: argparse.Namespace) -> int:
    """Return the FLOPs of a step's convolutions and matrix products, two for each multiply-accumulate."""
    with torch.device("meta"):
        network = CSENet(CLASSES, options.size, depth=options.depth).train()
        images = torch.empty(options.batch, 3, *options.size)
    with FlopCounterMode(display=False) as counter:
        torch.stack([x.sum() for x in network(images)]).sum().backward()
    return int(counter.get_total_flops())


def peak_gigabytes(step: Callable[[], object], device: torch.device) -> float:
    """Return what the GPU had allocated at most during a step."""
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device) / GB


def measure(options: argparse.Namespace) -> list[Row]:
    """Time everything and return the table."""
    device = torch.device(options.device)
    turns = {"warmup": options.warmup, "repeat": options.repeat}
    n = options.batch

    def median(seconds: list[float]) -> float:
        return float(np.median(seconds))

    low, full = training(options, "bf16"), training(options, "off")
    side = SIDE_OF_PRODUCT if device.type == "cuda" else 64
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    runs = {
        "bf16": low.step,
        "float32": with_tf32(full.step, False),
        "tf32": with_tf32(full.step, True),
        "loss": low.loss,
        "product": lambda: a @ b,
    }
    times = take_turns(runs, device, **turns)
    step, product = median(times["bf16"]), median(times["product"])
    faster, share = ratio(times["float32"], times["bf16"]), ratio(times["loss"], times["bf16"], 100)
    faster_than_tf32 = ratio(times["tf32"], times["bf16"])
    rate = 2 * side**3 / product
    used = [100 * step_flops(options) / seconds / rate for seconds in times["bf16"]]
    of_rate = Ratio(median(used), min(used), max(used))
    rows = [
        Row(f"training step, bf16, batch {n}", f"{step:.3f} s, {n / step:.1f} images/s", ""),
        Row("the same against eager float32", f"{faster} times as fast", ">= 5"),
        Row("the same against eager float32 with TF32", f"{faster_than_tf32} times as fast", ""),
        Row(f"share of the bf16 matrix rate ({rate / 1e12:.0f} TFLOP/s)", f"{of_rate} %", ">= 35 %"),
        Row("the loss, forward and backward, of the step", f"{share} %", "<= 10 %"),
    ]
    if device.type == "cuda":
        for name, run in (("bf16", low.step), ("float32", full.step)):
            rows.append(Row(f"peak memory of a step, {name}", f"{peak_gigabytes(run, device):.1f} GB", ""))
    del low, full, runs
    full_scales = multi_scale(options, "off")
    runs = {
        "bf16": multi_scale(options, "bf16"),
        "float32": with_tf32(full_scales, False),
        "tf32": with_tf32(full_scales, True),
    }
    times = take_turns(runs, device, **turns)
    parsed = median(times["bf16"])
    return [
        *rows,
        Row(f"three scales with mirror, bf16, batch {n}", f"{n / parsed:.1f} images/s", ""),
        Row("the same against eager float32", f"{ratio(times['float32'], times['bf16'])} times as fast", ">= 6"),
        Row("the same against eager float32 with TF32", f"{ratio(times['tf32'], times['bf16'])} times as fast", ""),
    ]


def main() -> int:
    """Check, measure and print; return the exit status."""
    options = read_options()
    device = torch.device(options.device)
    if device.type != "cuda":
        print("benchmarks/gpu.sh: PyTorch finds no CUDA GPU here, so there is nothing to measure", file=sys.stderr)
        return NO_GPU
    check_step(device)
    rows = measure(options)
    height, width = options.size
    mode = "compiled" if options.compile else "eager"
    print(
        "| what | median (least to most) | goal |\n|---|---|---|\n"
        + "\n".join("| " + " | ".join(r) + " |" for r in rows)
    )
    print(
        f"\n{height} x {width}, {CLASSES} classes, depth {options.depth}, "
        f"{mode}; {options.repeat} runs after {options.warmup}; {setting_line(device)}"
    )
    if options.json:
        write_json(options.json, {"rows": [row._asdict() for row in rows]} | setting(device))
    return 0


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
