"""Kill a training at random moments, go on each time, and compare its end with that of one that nothing happened to.

python tests/stress/kill_training.py --kills 10 --flips 100

Trains a network of a few hundred weights on drawn people; a run that comes to its end between two kills is compared,
and the next begins. Then turns single bits of the last snapshot, one at a time, and looks whether each is told, with
the snapshot before it in its place. Exit status 1 for other bits. pytest does not collect it.
"""

import argparse
import contextlib
import io
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from dataset.people import make_dataset
from utils.checkpoint.files import read_checkpoint
from utils.training.resuming import sound_snapshot

ROOT = Path(__file__).parents[2]
SETTINGS = "--input-size 65,65 --batch-size 4 --num-workers 0 --val-every 1 --deterministic --device cpu --log-every 1"
LAST = "DEMO_epoch_Last.pth"


def start(data: Path, folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    """Start a training, or go on with one; return when it has made a step: loading its modules takes far longer."""
    script = str(ROOT / "tests" / "support" / "train_tiny.py")
    options = ["--data-dir", str(data), "--snapshot-dir", str(folder), "--resume", "auto", "--epochs", str(epochs)]
    command = [sys.executable, script, *SETTINGS.split(), *options]
    before = log_lines(folder)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None and log_lines(folder) == before:
        time.sleep(0.01)
    return process


def log_lines(folder: Path) -> int:
    """Return how many lines the log of a run has."""
    log = folder / "log.jsonl"
    return len(log.read_bytes().splitlines()) if log.exists() else 0


def finish(process: subprocess.Popen[bytes], seconds: float | None = None) -> bool:
    """Wait so long for a training at most, then kill it; return whether it came to its end."""
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False
    if process.returncode:
        raise RuntimeError(f"the training ended with status {process.returncode}: {errors.decode()}")
    return True


def kill_and_resume(data: Path, folder: Path, epochs: int, moments: list[float]) -> int:
    """Train to the end, killed after each of the seconds in `moments`, which are used up; return the kills."""
    kills = 0
    while True:
        process = start(data, folder, epochs)
        if finish(process, moments.pop() if moments else None):
            return kills
        kills += 1
        print(f"killed with {log_lines(folder)} lines in its log", flush=True)


def same(one: Any, other: Any) -> bool:
    """Whether two snapshots hold the same, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return bool(one == other)


def flip_bits(path: Path, flips: int, choose: random.Random) -> int:
    """Turn one bit of a snapshot, so many times anew; return how many of them changed it without a word."""
    whole, content = path.read_bytes(), read_checkpoint(path)
    told = silent = 0
    for _ in range(flips):
        damaged = bytearray(whole)
        damaged[choose.randrange(len(damaged))] ^= 1 << choose.randrange(8)
        path.write_bytes(damaged)
        with contextlib.redirect_stdout(io.StringIO()):
            used = sound_snapshot(path)
        told += used != path
        silent += used == path and not same(content, read_checkpoint(path))
    path.write_bytes(whole)
    print(f"{flips} flipped bits: {told} told, the snapshot before used; {flips - told - silent} read as it was")
    return silent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--flips", type=int, default=0, help="bits of the last snapshot to turn")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    choose = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        data = make_dataset(Path(scratch, "people"), num_train=24, num_val=6, size=(96, 72), workers=1)
        calm, killed = (Path(scratch, name) for name in ("calm", "killed"))
        process = start(data, calm, options.epochs)
        began = time.monotonic()
        finish(process)
        seconds = time.monotonic() - began
        expected = read_checkpoint(calm / LAST)
        kills = runs = other = 0
        while kills < options.kills:
            shutil.rmtree(killed, ignore_errors=True)
            moments = [choose.uniform(0, seconds) for _ in range(options.kills - kills)]
            kills += kill_and_resume(data, killed, options.epochs, moments)
            end = read_checkpoint(killed / LAST)
            other += not all(same(expected[part], end[part]) for part in ("model", "optimizer"))
            runs += 1
        print(f"{kills} kills in {runs} runs: {runs - other} runs ended with the same bits, {other} with OTHER BITS")
        silent = flip_bits(calm / LAST, options.flips, choose)
        if silent:
            print(f"{silent} flipped bits CHANGED THE SNAPSHOT without a word")
    return 1 if other or silent else 0


if __name__ == "__main__":
    sys.exit(main())
