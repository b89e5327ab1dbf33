"""How fast is the network, and how fast are the engines that compute it for predictions?

The plain network and the engines take turns with the yardstick; --amp is for the engines. Before that each engine's
logits are compared with the plain network's: within 1e-3 in full precision; in half precision the share of pixels of
equal class is shown. Weights are random: those of the tests of recorded numbers.

    python benchmarks/inference_speed.py --engines torch openvino
    python benchmarks/inference_speed.py --device cuda --amp bf16 --batch 16
"""

import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import option_parser, ratio, report, take_turns, yardstick
from dataset.command import run_command
from dataset.workers import available_cores
from networks import CSENet
from tests.golden.recorded import published_weights
from utils.checkpoint import load_weights
from utils.checkpoint.snapshots import blank_network
from utils.cli import IMAGES_AT_ONCE, parse_options
from utils.inference.engines import Engine, OpenVinoEngine, TorchEngine

MAX_DIFFERENCE = 1e-3


def recorded_network(size: tuple[int, int]) -> CSENet:
    """Return the network with the weights of the recorded numbers, on the CPU and in evaluation mode."""
    return load_weights(blank_network(20, size, depth=101), published_weights()).eval()


def build(name: str, network: CSENet, device: torch.device, amp: str) -> Engine:
    """Return an engine for a network, on all cores."""
    if name == "openvino":
        return OpenVinoEngine(network, cores=available_cores(), amp=amp)
    return TorchEngine(network, device, amp=amp)


def check(name: str, logits: Tensor, expected: Tensor, amp: str) -> None:
    """Compare an engine's logits with the plain network's; print by how much they differ.

    Raises AssertionError for more than MAX_DIFFERENCE in full precision.
    """
    difference = (logits.float() - expected).abs().max().item()
    equal = (logits.argmax(dim=1) == expected.argmax(dim=1)).float().mean().item()
    print(f"{name}: logits differ by at most {difference:.1e}, classes agree on {equal:.2%}", flush=True)
    assert amp != "off" or difference <= MAX_DIFFERENCE, f"{name} computes something else"


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=5)
    parser.add_argument("--batch", type=IMAGES_AT_ONCE, default=1, help="images at once (1)")
    parser.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="of the engines (off: float32)")
    parser.add_argument("--engines", nargs="+", choices=("torch", "openvino"), default=["torch"], help="which (torch)")
    options = parse_options(parser)
    device = torch.device(options.device)
    network = recorded_network(options.size)
    height, width = options.size
    images = torch.randn(options.batch, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    engines = {f"engine {name}": build(name, network, device, options.amp) for name in options.engines}
    network, deeplab = network.to(device), yardstick().eval().to(device)
    with torch.inference_mode():
        expected = network(images).final
        for name, engine in engines.items():
            check(name, engine(images), expected, options.amp)
        runs: dict[str, Callable[[Tensor], object]] = {"yardstick": deeplab, "network": network, **engines}
        times = take_turns({name: partial(run, images) for name, run in runs.items()}, options)
    print(f"{'what':<18}{'ms/image, median':>18}{'in yardsticks':>26}")
    rows = {}
    for name, seconds in times.items():
        in_yardsticks = ratio(seconds, times["yardstick"])
        print(f"{name:<18}{1000 * statistics.median(seconds) / options.batch:>18.1f}{in_yardsticks!s:>26}")
        rows[name] = {"seconds": seconds, "ratio": in_yardsticks._asdict()}
    what = f"{options.batch} x 3 x {height} x {width}, 20 classes, engines with amp {options.amp}"
    report(options, what, {"rows": rows})


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
