"""How long is a training step, and what memory does it need? CSENet beside torchvision's DeepLabV3 with ResNet-101.

A step is forward, loss, backward and the optimiser's update, on random images and labels; DeepLabV3 has the plain cross
entropy. Memory is what the GPU had allocated at its peak; on a CPU, where nothing counts it, what a step keeps for its
backward pass, plus weights, gradients and momentum.

    python benchmarks/training_step.py --batch 2
    python benchmarks/training_step.py --device cuda --amp bf16 --batch 16
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import CLASSES, autocast, seconds
from dataset.options import COUNT, PERIOD_OR_NEVER, OptionParser
from networks import CSENet
from utils.cli import IMAGES_AT_ONCE, device_option, parse_options, size_option
from utils.losses import CSENetLoss

GIB = 2**30


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        type=device_option,
        help="cuda where there is",
    )
    parser.add_argument("--size", type=size_option, default=(473, 473), metavar="H,W", help="of the crops (473,473)")
    parser.add_argument("--batch", type=IMAGES_AT_ONCE, default=2, help="images a step (2)")
    parser.add_argument("--classes", type=CLASSES, default=20, help="number of classes (20)")
    parser.add_argument("--amp", choices=("off", "bf16"), default="off", help="autocast (off: float32)")
    parser.add_argument("--warmup", type=PERIOD_OR_NEVER, default=1, help="steps that do not count (1)")
    parser.add_argument("--repeat", type=COUNT, default=3, help="steps that count (3)")
    return parse_options(parser)


def step_of(network: nn.Module, loss: Callable[[object], Tensor], images: Tensor, amp: str) -> Callable[[], None]:
    """Return a function that does one training step."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast(images.device, amp):
            out = network(images)
        loss(out).backward()
        optimizer.step()

    return step


def memory(step: Callable[[], None], network: nn.Module, device: torch.device) -> float:
    """Return the GiB that one step needs."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) / GIB
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    weights = {parameter.untyped_storage().data_ptr(): parameter.nbytes for parameter in network.parameters()}
    activations = sum(size for place, size in kept.items() if place not in weights)
    return (activations + 3 * sum(weights.values())) / GIB


def main() -> None:
    """Time both networks and print what was measured on what."""
    options = read_options()
    device = torch.device(options.device)
    layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
    images = torch.randn(options.batch, 3, *options.size, device=device).to(memory_format=layout)
    labels = torch.randint(options.classes, (options.batch, *options.size), device=device)
    criterion = CSENetLoss(options.classes)
    networks: dict[str, tuple[nn.Module, Callable[..., Tensor]]] = {
        "CSENet": (CSENet(options.classes, options.size), lambda out: criterion(out, labels)[0]),
        "DeepLabV3 (torchvision)": (
            torchvision.models.segmentation.deeplabv3_resnet101(
                weights=None, weights_backbone=None, num_classes=options.classes
            ),
            lambda out: F.cross_entropy(out["out"].float(), labels),
        ),
    }
    medians = []
    print(f"{'network':<26}{'images/s':>10}{'s/step, median':>16}{'memory, GiB':>13}")
    for name, (network, loss) in networks.items():
        step = step_of(network.train().to(device).to(memory_format=layout), loss, images, options.amp)
        for _ in range(options.warmup):
            step()
        medians.append(statistics.median(seconds(step, device) for _ in range(options.repeat)))
        needed = memory(step, network, device)
        print(f"{name:<26}{options.batch / medians[-1]:>10.2f}{medians[-1]:>16.2f}{needed:>13.1f}", flush=True)
        network.cpu()
        del step
    print(f"A step of CSENet takes {medians[0] / medians[1]:.2f} times as long as one of DeepLabV3")
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, threads: {torch.get_num_threads()}"
    height, width = options.size
    print(
        f"{chip}; {options.batch} x 3 x {height} x {width}, {options.classes} classes, amp {options.amp}; "
        f"{options.repeat} steps after {options.warmup}; torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}"
    )


if __name__ == "__main__":
    main()
