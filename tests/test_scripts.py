"""The shell scripts, started as a user starts them."""

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from dataset.people import make_dataset
from tests.support.started import stand_in
from utils.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[1]


def run_script(name: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a script from another folder, in the environment of the tests."""
    inherited = {key: value for key, value in os.environ.items() if key not in ("DATA_DIR", "CHECKPOINT", "GPUS")}
    active = {"VIRTUAL_ENV": sys.prefix, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        [str(ROOT / name), *arguments],
        cwd="/",
        env=inherited | active | environment,
        capture_output=True,
        text=True,
        timeout=400,
    )


def test_training_without_data_says_what_to_get_and_what_to_type_instead(tmp_path: Path) -> None:
    result = run_script("run.sh", DATA_DIR=str(tmp_path / "LIP"))
    assert result.returncode == 2
    assert f"There is no dataset in {tmp_path / 'LIP'}." in result.stderr
    for needed in (
        "train_images",
        "val_id.txt",
        "dataset/resnet101-imagenet.pth",
        "DATA_DIR=/path/to/LIP ./run.sh",
        "./run.sh --demo",
    ):
        assert needed in result.stderr


def test_evaluation_says_what_is_missing(tmp_path: Path) -> None:
    no_data = run_script("run_evaluate.sh", DATA_DIR=str(tmp_path / "LIP"))
    assert (no_data.returncode, "set DATA_DIR" in no_data.stderr) == (2, True)
    no_weights = run_script("run_evaluate_multiScale.sh", DATA_DIR=str(tmp_path), CHECKPOINT=str(tmp_path / "x.pth"))
    assert (no_weights.returncode, f"no weights in {tmp_path / 'x.pth'}" in no_weights.stderr) == (2, True)


def test_the_backbone_is_looked_for_where_the_authors_say_and_then_among_the_snapshots(tmp_path: Path) -> None:
    """In a copy of the project whose `train.py` only says what it was given."""
    for name in ("dataset", "snapshots", "data"):
        (tmp_path / name).mkdir()
    shutil.copytree(ROOT / "utils" / "launch", tmp_path / "utils" / "launch")
    for name in ("run.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    program = "import os, sys; print(*sys.argv[1:], os.environ['GLIBC_TUNABLES'])\n"
    (tmp_path / "train.py").write_text(program)
    start = partial(run_script, str(tmp_path / "run.sh"), DATA_DIR=str(tmp_path / "data"), GPUS="1")

    without = start()
    assert "--restore-from" not in without.stdout
    assert "--resume auto" in without.stdout, "the same line goes on"
    for searched in (f"no resnet101-imagenet.pth in {tmp_path}/dataset or", f"{tmp_path}/snapshots", "random weights"):
        assert searched in without.stderr
    for folder in ("snapshots", "dataset"):  # the later one is preferred
        backbone = tmp_path / folder / "resnet101-imagenet.pth"
        backbone.touch()
        found = start()
        assert f"--restore-from {backbone}" in found.stdout
        assert found.stderr == ""
    assert start("--restore-from", "other.pth").stdout.count("--restore-from") == 1
    assert "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0" in found.stdout
    assert "glibc.malloc.check=1" in start(GLIBC_TUNABLES="glibc.malloc.check=1").stdout


@pytest.mark.parametrize("name", ["run.sh", "run_evaluate.sh", "run_evaluate_multiScale.sh"])
def test_help_tells_the_variables(name: str) -> None:
    result = run_script(name, "--help")
    assert result.returncode == 0
    assert "DATA_DIR" in result.stdout
    assert "set -euo" not in result.stdout


@pytest.mark.slow
def test_training_and_evaluation_in_two_processes_with_the_real_network(tmp_path: Path) -> None:
    """A step of an image on each of two CPU processes, then the multi-scale script."""
    data = make_dataset(tmp_path / "people", num_train=2, num_val=2, size=(90, 70), workers=1)
    settings = {"DATA_DIR": str(data), "GPUS": "2", "BATCH_SIZE": "1"}
    options = ["--snapshot-dir", str(tmp_path / "run"), "--input-size", "65,65", "--depth", "50", "--epochs", "1"]
    options += ["--num-workers", "0", "--device", "cpu"]
    first = run_script("run.sh", *options, **settings)
    assert first.returncode == 0, first.stderr
    assert "training starts from random weights" in first.stderr
    assert "1 steps of 2 images on 2 x CPU" in first.stdout
    best = tmp_path / "run" / "DEMO_epoch_Best.pth"
    assert read_checkpoint(best)["depth"] == 50

    report = tmp_path / "report.json"
    evaluation = {"DATA_DIR": str(data), "CHECKPOINT": str(best), "GPUS": "1"}
    result = run_script("run_evaluate_multiScale.sh", "--report", str(report), "--device", "cpu", **evaluation)
    assert result.returncode == 0, result.stderr
    assert json.loads(report.read_text())["scales"] == [0.75, 1.0, 1.25]
    assert json.loads(report.read_text())["images"] == 2


# Stand-ins: Slurm's commands, and a run.sh that launches the tiny network. The two machines are this one.
SLURM = {
    "scontrol": "#!/bin/sh\necho localhost\necho other\n",
    "srun": """#!/usr/bin/env bash
        while [[ $1 == --* ]]; do shift; done
        for ((i = 0; i < SLURM_JOB_NUM_NODES; i++)); do SLURM_NODEID=$i "$@" & done
        for job in $(jobs -p); do wait "$job" || exit; done""",
    "run.sh": f"""#!/usr/bin/env bash
        here='{ROOT}'
        source "$here/utils/launch/environment.sh"
        python=$PYTHON launch '{ROOT}/tests/support/train_tiny.py' --data-dir "$DATA_DIR" "$@" """,
}


def free_port(lowest: int) -> int:
    """Return the first free port from `lowest` on."""
    for port in itertools.count(lowest):
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind(("", port))
            return port
    raise AssertionError


def test_the_slurm_script_trains_on_two_machines(tmp_path: Path) -> None:
    """Four programs: on each machine torchrun, and a process of training."""
    data = make_dataset(tmp_path / "people", num_train=4, num_val=1, size=(90, 70), workers=1)
    for name, text in SLURM.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_NODELIST": "node[0-1]", "SLURM_JOB_NUM_NODES": "2"}
    slurm |= {"SLURM_JOB_ID": str(free_port(20000) - 20000), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    settings = {"DATA_DIR": str(data), "GPUS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    options = f"--snapshot-dir {tmp_path}/run --input-size 65,65 --epochs 1 --batch-size 2 --num-workers 0 --device cpu"
    result = run_script("docs/slurm.sh", *options.split(), **slurm, **settings, **stand_in(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("1 steps of 4 images on 2 x CPU") == 1  # one machine speaks
    assert (tmp_path / "run" / "DEMO_epoch_Last.pth").is_file()
