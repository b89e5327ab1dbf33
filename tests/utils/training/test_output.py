"""A training outlives what it prints to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from tqdm import tqdm
from utils.progress import Progress
from utils.training.output import outlive_output
with outlive_output():
    for _ in range(3):
        print("x" * 10_000, flush=True)
        print("x" * 10_000, file=sys.stderr, flush=True)
        with Progress("epoch", 1, "images") as progress:
            progress.advance()
        for _ in tqdm(range(3), mininterval=0):
            pass
open(sys.argv[1], "w").write("went on")
"""


def run(tmp_path: Path, *, stdout: int, stderr: int = subprocess.PIPE) -> str:
    """Run the script; return what it wrote to standard error if that can still be read."""
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "end")]
    done = subprocess.run(arguments, cwd=ROOT, text=True, stdout=stdout, stderr=stderr)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "end").read_text() == "went on"
    return done.stderr


def closed_pipe() -> int:
    """Return the end to write to of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def test_a_closed_pipe_ends_the_output_alone(tmp_path: Path) -> None:
    said = run(tmp_path, stdout=closed_pipe())
    assert said.count("The output cannot be written (Broken pipe): the training goes on without it.\n") == 1
    assert "Traceback" not in said


def test_so_does_a_closed_pipe_for_both(tmp_path: Path) -> None:
    pipe = closed_pipe()
    run(tmp_path, stdout=pipe, stderr=pipe)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_so_does_a_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert "No space left" in run(tmp_path, stdout=full.fileno())
        run(tmp_path, stdout=full.fileno(), stderr=full.fileno())
