"""How does the cost grow? Seconds of a training step and of a forward pass against batch, crop and processes.

Each point is the median of a few runs after one that does not count; all points of a row take turns. Processes train
together on this machine, each with one thread, and exchange their gradients. Before anything is timed, the gradient
that processes agree on is compared with that of one process with all the images (dropout and BatchNorm of a batch
aside: the network is in evaluation mode for it).

    python benchmarks/scaling.py --size 97,97 --depth 50 --figure docs/images/scaling.png
    python benchmarks/scaling.py --device cuda --batches 4,8,16,32 --sizes 241,361,473 --processes 1,2,4,8
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import add_options, setting, setting_line, step_of, take_turns
from benchmarks.plots import Curve, plot
from dataset.command import run_command
from dataset.options import OptionParser
from dataset.writing import write_json
from networks import CSENet
from utils.losses import CSENetLoss
from utils.pictures.figures import save_picture
from utils.training.state import fastest_layout

CLASSES = 20


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers that commas separate."""
    return tuple(int(part) for part in text.split(","))


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, warmup=1, repeat=2)
    add = parser.add_argument
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--batches", type=numbers, default=(1, 2, 4), metavar="N,N...", help="images a step (1,2,4)")
    add("--sizes", type=numbers, default=(97, 145, 193), metavar="N,N...", help="sides of the crop (97,145,193)")
    add("--processes", type=numbers, default=(1, 2), metavar="N,N...", help="that train together (1,2)")
    add("--figure", type=Path, metavar="FILE.png", help="draw the curves there")
    return parser.parse_args()


def batch_of(images: int, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return random images and labels, the same in every process."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(images, 3, *size, generator=generator).contiguous(memory_format=fastest_layout(device))
    labels = torch.randint(CLASSES, (images, *size), generator=generator, dtype=torch.uint8)
    return drawn.to(device), labels.to(device)


def network_for(size: tuple[int, int], depth: int, device: torch.device) -> CSENet:
    """Return the same network in every process."""
    torch.manual_seed(0)
    return CSENet(CLASSES, size, depth=depth).to(device).to(memory_format=fastest_layout(device))


def training_step(
    images: int, size: tuple[int, int], depth: int, device: torch.device, *, parallel: bool = False
) -> Callable[[], object]:
    """Return a function that does one training step."""
    network: torch.nn.Module = network_for(size, depth, device).train()
    if parallel:
        network = DistributedDataParallel(network)
    batch, labels = batch_of(images, size, device)
    criterion = CSENetLoss(CLASSES)

    def loss() -> Tensor:
        value: Tensor = criterion(network(batch), labels)[0]
        return value

    return step_of(network, loss)


def forward_of(images: int, size: tuple[int, int], depth: int, device: torch.device) -> Callable[[], object]:
    """Return a function that does one forward pass, as an evaluation does."""
    network = network_for(size, depth, device).eval()
    batch, _ = batch_of(images, size, device)

    @torch.inference_mode()
    def forward() -> None:
        network(batch)

    return forward


def train_together(rank: int, world_size: int, folder: str, options: argparse.Namespace) -> None:
    """In one of several processes: check the common gradient, then time steps of an image a process."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = f"file://{folder}/store-{world_size}"
    dist.init_process_group(options.backend, init_method=store, rank=rank, world_size=world_size)
    device = torch.device(options.device, rank) if options.device == "cuda" else torch.device(options.device)
    images, labels = batch_of(world_size, options.size, device)
    check_gradient(rank, images, labels, options, device)
    step = training_step(1, options.size, options.depth, device, parallel=True)
    dist.barrier()
    seconds = take_turns({"step": step}, device, warmup=options.warmup, repeat=options.repeat)["step"]
    if rank == 0:
        np.save(f"{folder}/{world_size}.npy", seconds)
    dist.destroy_process_group()


def check_gradient(
    rank: int, images: Tensor, labels: Tensor, options: argparse.Namespace, device: torch.device
) -> None:
    """Raise AssertionError where the processes' gradient is not the mean of those of single images."""
    network = network_for(options.size, options.depth, device).eval()
    criterion, weight = CSENetLoss(CLASSES), network.final_head.get_parameter("classifier.conv.weight")
    losses = [criterion(network(images[i : i + 1]), labels[i : i + 1])[0] for i in range(len(images))]
    (expected,) = torch.autograd.grad(torch.stack(losses).mean(), weight)
    parallel = DistributedDataParallel(network)
    criterion(parallel(images[rank : rank + 1]), labels[rank : rank + 1])[0].backward()
    torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=1e-5)


def of_processes(options: argparse.Namespace) -> list[float]:
    """Return the median seconds of a step for each number of processes."""
    options.backend = "nccl" if options.device == "cuda" else "gloo"
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.processes:
            mp.spawn(train_together, (count, folder, options), nprocs=count)
            medians.append(float(np.median(np.load(f"{folder}/{count}.npy"))))
    return medians


def main() -> None:
    """Time all rows, print them, and draw them where wanted."""
    options = read_options()
    device = torch.device(options.device)

    def medians(runs: dict[int, Callable[[], object]]) -> list[float]:
        named = {str(key): run for key, run in runs.items()}
        times = take_turns(named, device, warmup=options.warmup, repeat=options.repeat)
        return [float(np.median(seconds)) for seconds in times.values()]

    work = {"training step": training_step, "forward pass": forward_of}
    found: dict[str, dict[str, list[float]]] = {"batch": {}, "side of the crop": {}}
    for name, make in work.items():
        by_batch = partial(make, size=options.size, depth=options.depth, device=device)
        found["batch"][name] = medians({n: by_batch(n) for n in options.batches})
        by_side = partial(make, 2, depth=options.depth, device=device)
        found["side of the crop"][name] = medians({side: by_side((side, side)) for side in options.sizes})
    found["processes"] = {"training step": of_processes(options)}
    axes = {"batch": options.batches, "side of the crop": options.sizes, "processes": options.processes}
    for axis, rows in found.items():
        print(f"{axis:<18}" + "".join(f"{value:>9}" for value in axes[axis]))
        for name, seconds in rows.items():
            print(f"  {name:<16}" + "".join(f"{value:>9.2f}" for value in seconds), flush=True)
    print(
        f"seconds; side {options.size}, depth {options.depth}; crops of 2, processes of 1 image; {setting_line(device)}"
    )
    if options.json:
        about = {"axes": axes, "size": options.size, "depth": options.depth}
        write_json(options.json, about | {"seconds": found} | setting(device))
    if options.figure:
        panels = [
            plot([Curve(name, axes[axis], seconds) for name, seconds in rows.items()], across=axis, up="seconds")
            for axis, rows in found.items()
        ]
        save_picture(np.concatenate(panels, axis=1), options.figure)


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
