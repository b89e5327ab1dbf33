"""The shell scripts, started as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.people import make_dataset
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
    for needed in ("train_images", "val_id.txt", "DATA_DIR=/path/to/LIP ./run.sh", "./run.sh --demo"):
        assert needed in result.stderr


def test_evaluation_says_what_is_missing(tmp_path: Path) -> None:
    no_data = run_script("run_evaluate.sh", DATA_DIR=str(tmp_path / "LIP"))
    assert (no_data.returncode, "set DATA_DIR" in no_data.stderr) == (2, True)
    no_weights = run_script("run_evaluate_multiScale.sh", DATA_DIR=str(tmp_path), CHECKPOINT=str(tmp_path / "x.pth"))
    assert (no_weights.returncode, f"no weights in {tmp_path / 'x.pth'}" in no_weights.stderr) == (2, True)


@pytest.mark.parametrize("name", ["run.sh", "run_evaluate.sh", "run_evaluate_multiScale.sh"])
def test_help_tells_the_variables(name: str) -> None:
    result = run_script(name, "--help")
    assert result.returncode == 0
    assert "DATA_DIR" in result.stdout
    assert "set -euo" not in result.stdout


def test_training_and_evaluation_in_two_processes_with_the_real_network(tmp_path: Path) -> None:
    """Two steps of four images on CPU processes, continued by typing the line again, then the multi-scale script."""
    data = make_dataset(tmp_path / "people", num_train=8, num_val=3, size=(90, 70), workers=1)
    settings = {"DATA_DIR": str(data), "GPUS": "2", "BATCH_SIZE": "2"}
    options = ["--snapshot-dir", str(tmp_path / "run"), "--input-size", "65,65", "--depth", "50", "--epochs", "1"]
    options += ["--num-workers", "0", "--device", "cpu"]
    first = run_script("run.sh", *options, **settings)
    assert first.returncode == 0, first.stderr
    assert "training starts from random weights" in first.stderr
    assert "2 steps of 4 images on 2 x CPU" in first.stdout
    best = tmp_path / "run" / "DEMO_epoch_Best.pth"
    assert read_checkpoint(best)["depth"] == 50
    again = run_script("run.sh", *options, **settings)
    assert again.returncode == 0, again.stderr
    assert "step 2 of 2" in again.stdout

    report = tmp_path / "report.json"
    evaluation = {"DATA_DIR": str(data), "CHECKPOINT": str(best), "GPUS": "1"}
    result = run_script("run_evaluate_multiScale.sh", "--report", str(report), "--device", "cpu", **evaluation)
    assert result.returncode == 0, result.stderr
    assert json.loads(report.read_text())["scales"] == [0.75, 1.0, 1.25]
    assert json.loads(report.read_text())["images"] == 3


def test_only_an_environment_with_everything_is_used_as_it_is(tmp_path: Path) -> None:
    """`satisfied` reads the requirement files and compares with what is installed."""
    needs = {"numpy>=1.0": 0, "numpy>=9999": 1, "no-such-package-xyz": 1, "# a comment\n\npillow": 0}
    for text, status in needs.items():
        (tmp_path / "requirements.txt").write_text(text + "\n")
        script = f"source '{ROOT}/utils/environment.sh'; satisfied '{sys.executable}' '{tmp_path}/requirements.txt'"
        assert subprocess.run(["bash", "-c", script], check=False).returncode == status, text
