"""How large is the network? Counts its parameters, and the operations that one image takes.

python benchmarks/model_size.py
python benchmarks/model_size.py --size 512,512 --classes 18 --depth 50
"""

import argparse
import sys
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import CLASSES
from dataset.command import run_command
from dataset.options import OptionParser
from networks import CSENet
from utils.cli import size_option


def main() -> None:
    parser = OptionParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_option, default=(473, 473), metavar="H,W", help="of the image (473,473)")
    parser.add_argument("--classes", type=CLASSES, default=20, help="number of classes (20)")
    parser.add_argument("--depth", type=int, default=101, choices=(50, 101), help="of the backbone (101)")
    options = parser.parse_args()

    with torch.device("meta"):  # shapes are all that counts
        model = CSENet(options.classes, options.size, depth=options.depth).eval().requires_grad_(False)
        image = torch.empty(1, 3, *options.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)

    flops = counter.get_flop_counts()
    print(f"{'part':<22}{'parameters (M)':>16}{'FLOPs (G)':>12}")
    for name, part in model.named_children():
        parameters = sum(parameter.numel() for parameter in part.parameters())
        operations = sum(flops[f"CSENet.{name}"].values())
        print(f"{name:<22}{parameters / 1e6:>16.2f}{operations / 1e9:>12.1f}")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{'all':<22}{parameters / 1e6:>16.2f}{counter.get_total_flops() / 1e9:>12.1f}")
    height, width = options.size
    print(
        f"CSENet, backbone depth {options.depth}, {options.classes} classes, one {height} x {width} image; a "
        f"multiply-accumulate is 2 FLOPs, counted in convolutions and matrix products; torch {torch.__version__}"
    )


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
