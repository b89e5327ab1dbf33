"""The benchmarks run as a user runs them, and the figures of docs/speed.md come out."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *options: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_network_has_the_published_size() -> None:
    printed = run("model_size.py")
    (total,) = re.findall(r"^all +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert total[0] == "102.88"
    assert round(float(total[1])) == 336
    assert "one 473 x 473 image" in printed


def test_speed_is_measured_beside_deeplab() -> None:
    # In float32: processors that do not compute in bfloat16 emulate it, in minutes.
    printed = run("inference_speed.py", "--device", "cpu", "--size", "65,97", "--repeat", "2", "--warmup", "1")
    assert re.search(r"^CSENet +[\d.]+ +[\d.]+", printed, re.MULTILINE)
    assert re.search(r"CSENet takes [\d.]+ .* times as long as DeepLabV3", printed)
    assert "1 x 3 x 65 x 97, 20 classes, amp off, eager; 2 passes after 1; " in printed


def test_what_large_pictures_cost_is_measured_beside_the_network() -> None:
    printed = run("picture_sizes.py", "--device", "cpu", "--size", "65,65", "--repeat", "1", "--warmup", "0")
    assert re.findall(r"^([\d.]+) +[\d.]+ \([\d.]+ %\) ", printed, re.MULTILINE) == ["0.3", "3", "12", "48"]
    assert re.search(r"^Smooth borders of noise, 12 megapixels: [\d.]+ \([\d.]+ %\)$", printed, re.MULTILINE)


def test_a_training_step_is_checked_and_measured_beside_the_yardstick(tmp_path: Path) -> None:
    file = tmp_path / "step.json"
    options = ("--device", "cpu", "--size", "65,65", "--repeat", "1", "--warmup", "0", "--json", str(file))
    printed = run("training_step.py", *options)
    written = json.loads(file.read_text())
    assert written["peak_bytes"]["CSENet"] > 102.88e6 * 4 * 3, "weights, gradients and momentum"
    assert f"takes {written['ratio']['median']:.2f} (" in printed
    assert "2 x 3 x 65 x 65, 20 classes, amp off" in printed


def test_an_evaluation_is_checked_and_measured_beside_the_bare_network(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    tiny = ("--device", "cpu", "--size", "65,65", "--depth", "50", "--num-workers", "0")
    printed = run("evaluation.py", *tiny, "--pictures", "2", "--repeat", "1", "--json", str(file))
    assert f"takes {json.loads(file.read_text())['ratio']['median']:.2f} (" in printed


def test_scaling_is_measured_and_drawn(tmp_path: Path) -> None:
    tiny = ("--device", "cpu", "--size", "65,65", "--depth", "50", "--warmup", "0", "--repeat", "1")
    points = ("--batches", "1", "--sizes", "65", "--processes", "2")
    printed = run("scaling.py", *tiny, *points, "--figure", str(tmp_path / "scaling.png"))
    assert re.search(r"^processes +2\n +training step +[\d.]+$", printed, re.MULTILINE)
    with Image.open(tmp_path / "scaling.png") as picture:
        assert picture.size == (3 * 420, 320)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no GPU")
def test_without_a_gpu_its_benchmark_says_so_and_ends_with_a_status_of_its_own() -> None:
    command = ["bash", str(BENCHMARKS / "gpu.sh")]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHON": sys.executable})
    assert ended.returncode == 3
    assert ended.stderr == "benchmarks/gpu.sh: PyTorch finds no CUDA GPU here, so there is nothing to measure\n"


def test_the_loss_is_checked_and_measured_in_sorts(tmp_path: Path) -> None:
    file = tmp_path / "loss.json"
    options = ("--device", "cpu", "--size", "33,49", "--repeat", "2", "--warmup", "0", "--json", str(file))
    printed = run("loss.py", *options)
    written = json.loads(file.read_text())
    assert [row["weights"] for row in written["rows"]] == ["initial", "trained", "saturated"]
    for row in written["rows"]:
        assert 0 < row["left_to_sort"] < 1
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert re.search(rf"^{row['weights']} .* {row['ratio']:.2f} ", printed, re.MULTILINE)
    assert "2 x 33 x 49, 20 classes, drawn people; a sort is one of (20, 3234) float32; 2 passes" in printed
