"""What does a GPU make of it? All of its figures as one Markdown table: training, loss, evaluation, memory.

Float32 is eager, in PyTorch's default layout, and exact: PyTorch's own default rounds what goes into a convolution to
TF32, which is a row of its own. The matrix rate is that of a large bf16 product on the same GPU. Before anything is
timed, loss and gradient are compared with those recorded from the published code.

    benchmarks/gpu.sh
    benchmarks/gpu.sh --batch 32 --compile
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import (
    autocast,
    loss_alone,
    network_and_batch,
    option_parser,
    ratio,
    report,
    take_turns,
    training_step,
)
from benchmarks.training_step import GB, check_step
from dataset.command import run_command
from networks import CSENet
from utils.cli import IMAGES_AT_ONCE
from utils.inference.crop_parser import MULTI_SCALES, fused_logits
from utils.inference.engines import TorchEngine
from utils.losses import CSENetLoss
from utils.training.state import compile_blocks

CLASSES = 20
SIDE_OF_PRODUCT = 8192
NO_GPU = 3
"""The exit status where there is no GPU."""
Row = tuple[str, str, str]
"""A line of the table: what, its figure, and the goal."""


def prepared(options: argparse.Namespace, amp: str) -> tuple[CSENet, Tensor, Tensor]:
    """Return a network, and images and labels, in the layout that belongs to `amp`."""
    layout = torch.contiguous_format if amp == "off" else None
    return network_and_batch(options.batch, options.size, options, layout)


def training(options: argparse.Namespace, amp: str) -> tuple[Callable[[], Tensor], Callable[[], object]]:
    """Return a training step in `amp`, and the loss, forward and backward, of its outputs."""
    network, images, labels = prepared(options, amp)
    criterion = CSENetLoss(CLASSES)
    with torch.no_grad(), autocast(images.device, amp):
        out = network(images)
    if options.compile and amp != "off":
        # After that pass: blocks of 8 kinds with gradients are all that PyTorch compiles, any more would not be.
        compile_blocks(network)
    return training_step(network, images, labels, criterion, amp), loss_alone(criterion, out, labels)


def multi_scale(options: argparse.Namespace, amp: str) -> Callable[[], object]:
    """Return a function that parses a batch at three scales with mirror in `amp`."""
    network, images, _ = prepared(options, amp)
    engine = TorchEngine(network.eval(), images.device, amp=amp)
    return torch.inference_mode()(lambda: fused_logits(engine, images, scales=MULTI_SCALES).argmax(dim=1))


def in_precisions(low: Callable[[], object], full: Callable[[], object]) -> dict[str, Callable[[], object]]:
    """Return what is to be compared: a run in bf16, and one in float32, which is exact or with TF32 in convolutions."""
    flags = partial(torch.backends.cudnn.flags, enabled=True)
    return {"bf16": low, "float32": flags(allow_tf32=False)(full), "float32 with TF32": flags(allow_tf32=True)(full)}


def compared(times: dict[str, list[float]], goal: str) -> list[Row]:
    """Return the rows that compare the runs of `in_precisions`; the goal is for exact float32."""
    return [
        (f"the same against eager {name}", f"{ratio(times[name], times['bf16'])} times as fast", wanted)
        for name, wanted in (("float32", goal), ("float32 with TF32", ""))
    ]


def step_flops(options: argparse.Namespace) -> int:
    """Return the FLOPs of a step's convolutions and matrix products, two for each multiply-accumulate."""
    with torch.device("meta"):
        network = CSENet(CLASSES, options.size, depth=options.depth).train()
        images = torch.empty(options.batch, 3, *options.size)
    with FlopCounterMode(display=False) as counter:
        torch.stack([x.sum() for x in network(images)]).sum().backward()
    return int(counter.get_total_flops())


def peak_gigabytes(step: Callable[[], object], device: str) -> float:
    """Return what the GPU had allocated at most during a step."""
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device) / GB


def measure(options: argparse.Namespace) -> list[Row]:
    """Time everything and return the table."""
    n, side = options.batch, SIDE_OF_PRODUCT
    (step, loss), (full_step, _) = training(options, "bf16"), training(options, "off")
    a, b = (torch.randn(side, side, device=options.device, dtype=torch.bfloat16) for _ in range(2))
    times = take_turns(in_precisions(step, full_step) | {"loss": loss, "product": lambda: a @ b}, options)
    seconds, rate = statistics.median(times["bf16"]), 2 * side**3 / statistics.median(times["product"])
    of_rate = ratio([step_flops(options) / rate] * options.repeat, times["bf16"], 100)
    rows = [
        (f"training step, bf16, batch {n}", f"{seconds:.3f} s, {n / seconds:.1f} images/s", ""),
        *compared(times, ">= 5"),
        (f"share of the bf16 matrix rate ({rate / 1e12:.0f} TFLOP/s)", f"{of_rate} %", ">= 35 %"),
        ("the loss, forward and backward, of the step", f"{ratio(times['loss'], times['bf16'], 100)} %", "<= 10 %"),
        ("peak memory of a step, bf16", f"{peak_gigabytes(step, options.device):.1f} GB", ""),
        ("peak memory of a step, float32", f"{peak_gigabytes(full_step, options.device):.1f} GB", ""),
    ]
    del step, loss, full_step
    times = take_turns(in_precisions(multi_scale(options, "bf16"), multi_scale(options, "off")), options)
    figure = f"{n / statistics.median(times['bf16']):.1f} images/s"
    return [*rows, (f"three scales with mirror, bf16, batch {n}", figure, ""), *compared(times, ">= 6")]


def main() -> int:
    """Check, measure and print; return the exit status."""
    parser = option_parser(__doc__, warmup=3, repeat=10)
    add = parser.add_argument
    add("--batch", type=IMAGES_AT_ONCE, default=16, help="images a step (16)")
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--compile", action="store_true", help="compile the backbone's blocks in the bf16 training step")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type != "cuda":
        print("benchmarks/gpu.sh: PyTorch finds no CUDA GPU here, so there is nothing to measure", file=sys.stderr)
        return NO_GPU
    check_step(device)
    rows = measure(options)
    print("| what | median (least to most) | goal |\n|---|---|---|")
    print("\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n")
    height, width = options.size
    mode = "compiled" if options.compile else "eager"
    what = f"{height} x {width}, {CLASSES} classes, depth {options.depth}, {mode}"
    report(options, what, {"rows": [dict(zip(("what", "figure", "goal"), row, strict=True)) for row in rows]})
    return 0


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
