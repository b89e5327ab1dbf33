"""Where does the time go? The shares of convolutions, norms, copies and so on of a training step and of an evaluation.

What PyTorch's profiler saw of one step (one picture's evaluation with mirror) after one that does not count, on a CPU
in one thread. Loss and logits are compared with those of the same run without the profiler first.

    python benchmarks/profiles.py --size 241,241
    python benchmarks/profiles.py --device cuda --amp bf16 --batch 16
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import network_and_batch, option_parser, report, training_step
from benchmarks.inference_speed import recorded_network
from dataset.command import run_command
from networks import CSENet
from utils.cli import IMAGES_AT_ONCE
from utils.inference.crop_parser import fused_logits
from utils.inference.engines import TorchEngine
from utils.losses import CSENetLoss

KINDS = {
    "convolution": ("conv",),
    "batch norm": ("batch_norm",),
    "activation": ("threshold", "leaky_relu", "clamp_min", "sigmoid", "dropout"),
    "resizing, sampling": ("upsample", "grid_sampl"),
    "matrix product": ("mm", "bmm", "addmm", "matmul"),
    "copy, join, fill": ("copy_", "cat", "fill_", "zero_", "clone"),
    "loss": ("ParsingLoss", "sort", "scatter", "gather", "nonzero", "index", "cumsum", "exp_", "amax", "where"),
    "optimiser": ("sgd", "SGD", "Optimizer"),
    "sums, products": ("add", "mul", "sum", "mean", "sub", "div", "neg", "rsub"),
}

TOLERANCES = {"off": 1e-3, "bf16": 3e-2}


def kind_of(operation: str) -> str:
    """Return the first kind that an operation's name belongs to."""
    return next((kind for kind, parts in KINDS.items() if any(part in operation for part in parts)), "other")


def shares(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Return the percentage of each kind of operation, most first."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as found:
        run()
    times: Counter[str] = Counter()
    for event in found.key_averages():
        # The operations; a GPU's kernels are counted with those that began them.
        if event.device_type == DeviceType.CPU:
            times[kind_of(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    return {kind: 100 * time / times.total() for kind, time in times.most_common()}


def training(options: argparse.Namespace) -> Callable[[], Tensor]:
    """Return a function that does a training step and returns its loss."""
    return training_step(*network_and_batch(options.batch, options.size, options), CSENetLoss(20), options.amp)


def evaluation(options: argparse.Namespace) -> Callable[[], Tensor]:
    """Return a function that parses one image with its mirror image and returns the logits."""
    # The activations of random weights grow beyond all bounds where BatchNorm has not met a batch yet.
    network = recorded_network(options.size) if options.depth == 101 else CSENet(20, options.size, depth=50).eval()
    engine = TorchEngine(network, torch.device(options.device), amp=options.amp)
    image = torch.randn(1, 3, *options.size, device=engine.device)

    @torch.inference_mode()
    def run() -> Tensor:
        logits = fused_logits(engine, image)
        logits.argmax(dim=1)
        return logits

    return run


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=1)
    add = parser.add_argument
    add("--batch", type=IMAGES_AT_ONCE, default=2, help="images a step (2)")
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--amp", choices=("off", "bf16"), default="off", help="autocast of the network (off: float32)")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # the profiler sees this thread alone
    found = {}
    for name, make in {"training step": training, "evaluation": evaluation}.items():
        run = make(options)
        results = [run()]
        found[name] = shares(lambda run=run, results=results: results.append(run()), device)  # type: ignore[misc]
        tolerance = TOLERANCES[options.amp]
        torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance * results[0].abs().max().item())
        print(f"{name}: " + ", ".join(f"{kind} {share:.1f} %" for kind, share in found[name].items()), flush=True)
    height, width = options.size
    what = f"{height} x {width}, a step of {options.batch}, depth {options.depth}, amp {options.amp}"
    report(options, what, {"shares": found})


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
