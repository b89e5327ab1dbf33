"""How long is a training step, and what memory does it need? CSENet beside the yardstick (see harness.py).

A step is forward, loss, backward and the optimiser's update, on random images and drawn labels. Ours is that of a
training: its memory layout, its loss. The yardstick is eager, in float32, in PyTorch's default layout, with the cross
entropy of both of its outputs. Before anything is timed, loss and gradient of a step are compared with those recorded
from the published code.

Memory is what the GPU had allocated at its peak; on a CPU the most that a process of its own had resident, everything
included, over two steps.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --device cuda --amp bf16 --batch 16
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import harness
from benchmarks.harness import CLASSES, option_parser, ratio, report, take_turns, yardstick
from benchmarks.inference_speed import recorded_network
from dataset.command import run_command
from dataset.people import draw_person
from networks import CSENet
from tests.golden.recorded import label_maps, load, random_images
from utils.cli import IMAGES_AT_ONCE, parse_options
from utils.losses import CSENetLoss
from utils.training.state import fastest_layout

GB = 1e9
NETWORKS = ("CSENet", "yardstick")


def check_step(device: torch.device) -> None:
    """Raise AssertionError where loss or gradient of a float32 step differ from those of the published code."""
    recorded = load("train_97")
    network = recorded_network((97, 97)).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    layout = fastest_layout(device)
    network.to(device).to(memory_format=layout)
    images = random_images(int(recorded["image_seed"]), recorded["image_shape"]).to(device).to(memory_format=layout)
    labels = label_maps(int(recorded["label_seed"]), *(int(n) for n in recorded["image_shape"][[0, 2, 3]])).to(device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        total, _ = CSENetLoss(20)(network(images), labels)
        total.backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    np.testing.assert_allclose(total.item(), float(recorded["loss"]), rtol=1e-4)
    np.testing.assert_allclose(norm, np.linalg.norm(recorded["grad_norms"]), rtol=1e-3)


def training_step(name: str, options: argparse.Namespace) -> Callable[[], Tensor]:
    """Return a function that does one training step of CSENet or the yardstick."""
    device, ours = torch.device(options.device), name == "CSENet"
    layout = fastest_layout(device) if ours else torch.contiguous_format
    network = CSENet(options.classes, options.size) if ours else yardstick(options.classes)
    network.train().to(device).to(memory_format=layout)
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)
    drawn = [draw_person(index, options.size)[1] % options.classes for index in range(options.batch)]
    labels = torch.from_numpy(np.stack(drawn)).to(device)
    criterion = CSENetLoss(options.classes) if ours else cross_entropies
    return harness.training_step(network, images, labels, criterion, options.amp if ours else "off")


def cross_entropies(out: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, None]:
    """Return the loss of the yardstick's two outputs, as torchvision trains it."""
    of_output, of_auxiliary = (F.cross_entropy(out[key], labels.long(), ignore_index=255) for key in ("out", "aux"))
    return of_output + 0.5 * of_auxiliary, None


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """Return the bytes that two steps need at their peak; to be called in a process of its own."""
    step = training_step(name, options)
    for _ in range(2):
        step()
    if torch.device(options.device).type == "cuda":
        return float(torch.cuda.max_memory_allocated(options.device))
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_own_process(name: str, options: argparse.Namespace) -> float:
    """Return `peak_memory`, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_memory, name, options).result()


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=3)
    add = parser.add_argument
    add("--batch", type=IMAGES_AT_ONCE, default=2, help="images a step (2)")
    add("--classes", type=CLASSES, default=20, help="number of classes (20)")
    add("--amp", choices=("off", "bf16"), default="off", help="autocast of CSENet's step (off: float32)")
    add("--measure", choices=("time", "memory", "both"), default="both", help="what to measure (both)")
    options = parse_options(parser)
    device = torch.device(options.device)
    found: dict[str, object] = {}
    if options.measure in ("both", "memory"):
        found["peak_bytes"] = memory = {name: in_own_process(name, options) for name in NETWORKS}
        print(f"{'network':<12}{'memory, GB':>12}")
        for name, needed in memory.items():
            print(f"{name:<12}{needed / GB:>12.2f}", flush=True)
    if options.measure in ("both", "time"):
        check_step(device)
        times = take_turns({name: training_step(name, options) for name in NETWORKS}, options)
        print(f"{'network':<12}{'s/step':>10}{'fastest':>10}{'slowest':>10}{'images/s':>10}")
        for name, seconds in times.items():
            median = statistics.median(seconds)
            figures = f"{median:>10.2f}{min(seconds):>10.2f}{max(seconds):>10.2f}{options.batch / median:>10.2f}"
            print(f"{name:<12}{figures}", flush=True)
        of_yardstick = ratio(times["CSENet"], times["yardstick"])
        print(f"A step of CSENet takes {of_yardstick} times as long as one of the yardstick")
        found |= {"seconds": times, "ratio": of_yardstick._asdict()}
    height, width = options.size
    layout = str(fastest_layout(device)).removeprefix("torch.")
    what = f"{options.batch} x 3 x {height} x {width}, {options.classes} classes, amp {options.amp}, layout {layout}"
    report(options, what, found)


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
