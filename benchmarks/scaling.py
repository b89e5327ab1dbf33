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
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image, ImageDraw
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import network_and_batch, option_parser, report, take_turns, training_step
from dataset.command import run_command
from utils.losses import CSENetLoss
from utils.pictures.figures import Picture, font, save_picture

COLOURS = ((31, 119, 180), (214, 39, 40))
WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 34, 46
TICKS = 4


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers that commas separate."""
    return tuple(int(part) for part in text.split(","))


def step_of(count: int, size: tuple[int, int], options: argparse.Namespace) -> Callable[[], object]:
    """Return a function that does one training step."""
    return training_step(*network_and_batch(count, size, options), CSENetLoss(20))


def forward_of(count: int, size: tuple[int, int], options: argparse.Namespace) -> Callable[[], object]:
    """Return a function that does one forward pass, as an evaluation does."""
    network, images, _ = network_and_batch(count, size, options)
    network.eval()
    return torch.inference_mode()(lambda: network(images))


def train_together(rank: int, world_size: int, folder: str, options: argparse.Namespace) -> None:
    """In one of several processes: check the common gradient, then time steps of an image a process."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    backend = "gloo"
    if options.device == "cuda":
        backend, options.device = "nccl", f"cuda:{rank}"
    store = f"file://{folder}/store-{world_size}"
    dist.init_process_group(backend, init_method=store, rank=rank, world_size=world_size)
    check_gradient(rank, world_size, options)
    network, images, labels = network_and_batch(1, options.size, options)
    step = training_step(DistributedDataParallel(network), images, labels, CSENetLoss(20))
    dist.barrier()
    seconds = take_turns({"step": step}, options)["step"]
    if rank == 0:
        np.save(f"{folder}/{world_size}.npy", seconds)
    dist.destroy_process_group()


def check_gradient(rank: int, world_size: int, options: argparse.Namespace) -> None:
    """Raise AssertionError where the processes' gradient is not the mean of those of single images."""
    network, images, labels = network_and_batch(world_size, options.size, options)
    criterion, weight = CSENetLoss(20), network.eval().final_head.get_parameter("classifier.conv.weight")
    losses = [criterion(network(images[i : i + 1]), labels[i : i + 1])[0] for i in range(world_size)]
    (expected,) = torch.autograd.grad(torch.stack(losses).mean(), weight)
    parallel = DistributedDataParallel(network)
    criterion(parallel(images[rank : rank + 1]), labels[rank : rank + 1])[0].backward()
    torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=1e-5)


def of_processes(options: argparse.Namespace) -> list[float]:
    """Return the median seconds of a step for each number of processes."""
    medians = []
    with tempfile.TemporaryDirectory() as folder:
        for count in options.processes:
            mp.spawn(train_together, (count, folder, options), nprocs=count)
            medians.append(float(np.median(np.load(f"{folder}/{count}.npy"))))
    return medians


def plot(x: Sequence[float], curves: Mapping[str, Sequence[float]], across: str) -> Picture:
    """Draw curves of seconds over x, both from zero; `across` says what x is. Returns RGB (H, W, 3)."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, text = ImageDraw.Draw(image), font(13)
    most_x, most_y = max(x) * 1.05, max(map(max, curves.values())) * 1.1

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / most_x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / most_y * (HEIGHT - TOP - BOTTOM)

    for value in np.linspace(0, most_y, TICKS + 1):
        draw.line([place(0, value), place(most_x, value)], fill=(225, 225, 225))
        draw.text((LEFT - 6, place(0, value)[1]), f"{value:.3g}", fill="black", font=text, anchor="rm")
    for value in x:
        draw.text((place(value, 0)[0], HEIGHT - BOTTOM + 4), f"{value:g}", fill="black", font=text, anchor="ma")
    draw.line([place(0, most_y), place(0, 0), place(most_x, 0)], fill="black", width=1)
    draw.text((WIDTH / 2, HEIGHT - 6), across, fill="black", font=text, anchor="ms")
    draw.text((6, 6), "seconds", fill="black", font=text)
    for index, ((name, y), colour) in enumerate(zip(curves.items(), COLOURS, strict=False)):
        points = [place(*point) for point in zip(x, y, strict=True)]
        draw.line(points, fill=colour, width=2)
        for point in points:
            draw.ellipse([point[0] - 3, point[1] - 3, point[0] + 3, point[1] + 3], fill=colour)
        draw.text((LEFT + 10, TOP + 16 * index), name, fill=colour, font=text)
    return np.asarray(image)


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=2)
    add = parser.add_argument
    add("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    add("--batches", type=numbers, default=(1, 2, 4), metavar="N,N...", help="images a step (1,2,4)")
    add("--sizes", type=numbers, default=(97, 145, 193), metavar="N,N...", help="sides of the crop (97,145,193)")
    add("--processes", type=numbers, default=(1, 2), metavar="N,N...", help="that train together (1,2)")
    add("--figure", type=Path, metavar="FILE.png", help="draw the curves there")
    options = parser.parse_args()

    def medians(runs: Mapping[str, Callable[[], object]]) -> list[float]:
        return [statistics.median(seconds) for seconds in take_turns(runs, options).values()]

    axes = {"batch": options.batches, "side of the crop": options.sizes, "processes": options.processes}
    found: dict[str, dict[str, list[float]]] = {axis: {} for axis in axes}
    for name, make in {"training step": step_of, "forward pass": forward_of}.items():
        found["batch"][name] = medians({str(n): make(n, options.size, options) for n in options.batches})
        found["side of the crop"][name] = medians({str(n): make(2, (n, n), options) for n in options.sizes})
    found["processes"]["training step"] = of_processes(options)
    for axis, rows in found.items():
        print(f"{axis:<18}" + "".join(f"{value:>9}" for value in axes[axis]))
        for name, seconds in rows.items():
            print(f"  {name:<16}" + "".join(f"{value:>9.2f}" for value in seconds), flush=True)
    what = f"seconds; side {options.size}, depth {options.depth}; crops of 2, processes of 1 image"
    report(options, what, {"axes": axes, "seconds": found})
    if options.figure:
        panels = [plot(axes[axis], rows, axis) for axis, rows in found.items()]
        save_picture(np.concatenate(panels, axis=1), options.figure)


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
