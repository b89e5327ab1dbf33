"""Kill a training at random moments, go on each time, and compare its end with that of one that nothing happened to.

python tests/stress/kill_training.py --kills 10

Trains a network of a few hundred weights on drawn people. Exit status 1 if the bits differ. pytest does not collect it.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from dataset.people import make_dataset
from utils.checkpoint.files import read_checkpoint

ROOT = Path(__file__).parents[2]
SETTINGS = "--input-size 65,65 --batch-size 4 --num-workers 0 --val-every 1 --deterministic --device cpu --log-every 1"


def command(data: Path, folder: Path, epochs: int) -> list[str]:
    script = str(ROOT / "tests" / "support" / "train_tiny.py")
    options = ["--data-dir", str(data), "--snapshot-dir", str(folder), "--resume", "auto", "--epochs", str(epochs)]
    return [sys.executable, script, *SETTINGS.split(), *options]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    choose = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = make_dataset(Path(scratch, "people"), num_train=24, num_val=6, size=(96, 72), workers=1)
        calm, killed = (Path(scratch, name) for name in ("calm", "killed"))
        start = time.monotonic()
        subprocess.run(command(data, calm, options.epochs), check=True, capture_output=True)
        whole = time.monotonic() - start
        for number in range(options.kills):
            process = subprocess.Popen(
                command(data, killed, options.epochs), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            time.sleep(choose.uniform(0, 1.1 * whole))
            process.kill()
            process.communicate()
            print(f"kill {number + 1}: {'it was done' if process.returncode == 0 else 'killed'}", flush=True)
        subprocess.run(command(data, killed, options.epochs), check=True, capture_output=True)
        ends = [read_checkpoint(folder / "DEMO_epoch_Last.pth") for folder in (calm, killed)]
    same = all(torch.equal(tensor, ends[1]["model"][name]) for name, tensor in ends[0]["model"].items())
    same &= all(
        torch.equal(values["momentum_buffer"], ends[1]["optimizer"]["state"][index]["momentum_buffer"])
        for index, values in ends[0]["optimizer"]["state"].items()
    )
    print("the same bits" if same else "OTHER BITS")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
