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
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import (
    CLASSES,
    add_options,
    autocast,
    ratio,
    setting,
    setting_line,
    step_of,
    take_turns,
    yardstick,
)
from dataset.command import run_command
from dataset.options import OptionParser
from dataset.people import draw_person
from dataset.writing import write_json
from networks import CSENet
from tests.golden.recorded import label_maps, load, published_weights, random_images
from utils.checkpoint import load_weights
from utils.cli import IMAGES_AT_ONCE, parse_options
from utils.losses import CSENetLoss
from utils.training.memory import lean_forward
from utils.training.state import fastest_layout

GB = 1e9
NETWORKS = ("CSENet", "yardstick")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, warmup=1, repeat=3)
    add = parser.add_argument
    add("--batch", type=IMAGES_AT_ONCE, default=2, help="images a step (2)")
    add("--classes", type=CLASSES, default=20, help="number of classes (20)")
    add("--amp", choices=("off", "bf16"), default="off", help="autocast of CSENet's step (off: float32)")
    add("--measure", choices=("time", "memory", "both"), default="both", help="what to measure (both)")
    return parse_options(parser)


def check_step(device: torch.device) -> None:
    """Raise AssertionError where loss or gradient of a float32 step differ from those of the published code."""
    recorded = load("train_97")
    network = load_weights(CSENet(20, (97, 97)), published_weights()).train()
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
    amp = options.amp if ours else "off"
    drawn = [torch.from_numpy(draw_person(index)[1].astype(np.uint8)) for index in range(options.batch)]
    labels = torch.stack([F.interpolate(label[None, None], options.size)[0, 0] for label in drawn]).to(device)
    labels = torch.where(labels == 255, labels, labels % options.classes)
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)
    network = CSENet(options.classes, options.size) if ours else yardstick(options.classes)
    network.train().to(device).to(memory_format=layout)
    criterion = CSENetLoss(options.classes)
    lean = ours and device.type == "cpu"

    def loss() -> Tensor:
        with autocast(device, amp), lean_forward(network) if lean else nullcontext():
            out = network(images)
        if ours:
            return criterion(out, labels)[0]
        parts = [F.cross_entropy(out[key].float(), labels.long(), ignore_index=255) for key in ("out", "aux")]
        return parts[0] + 0.5 * parts[1]

    return step_of(network, loss)


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """Return the bytes that two steps need at their peak; to be called in a process of its own."""
    device = torch.device(options.device)
    step = training_step(name, options)
    for _ in range(2):
        step()
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_own_process(name: str, options: argparse.Namespace) -> float:
    """Return `peak_memory`, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_memory, name, options).result()


def main() -> None:
    """Check, time both networks in turn, and print what was measured on what."""
    options = read_options()
    device = torch.device(options.device)
    about = setting(device)
    height, width = options.size
    found: dict[str, object] = {"batch": options.batch, "size": options.size, "amp": options.amp} | about
    if options.measure in ("both", "memory"):
        found["peak_bytes"] = memory = {name: in_own_process(name, options) for name in NETWORKS}
        print(f"{'network':<12}{'memory, GB':>12}")
        for name, needed in memory.items():
            print(f"{name:<12}{needed / GB:>12.2f}", flush=True)
    if options.measure in ("both", "time"):
        check_step(device)
        steps = {name: training_step(name, options) for name in NETWORKS}
        times = take_turns(steps, device, warmup=options.warmup, repeat=options.repeat)
        print(f"{'network':<12}{'s/step':>10}{'fastest':>10}{'slowest':>10}{'images/s':>10}")
        for name, seconds in times.items():
            median = float(np.median(seconds))
            figures = f"{median:>10.2f}{min(seconds):>10.2f}{max(seconds):>10.2f}{options.batch / median:>10.2f}"
            print(f"{name:<12}{figures}", flush=True)
        of_yardstick = ratio(times["CSENet"], times["yardstick"])
        print(f"A step of CSENet takes {of_yardstick} times as long as one of the yardstick")
        found |= {"seconds": times, "ratio": of_yardstick._asdict()}
    print(
        f"{options.batch} x 3 x {height} x {width}, {options.classes} classes, amp {options.amp}, layout "
        f"{str(fastest_layout(device)).removeprefix('torch.')}; {options.repeat} steps after {options.warmup}; "
        f"{setting_line(device)}"
    )
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
