"""The benchmarks check what they measure, and their figures come out; most run in this process, which is faster."""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks import gpu_rows, harness, single_picture, training_step
from benchmarks.harness import yardstick
from networks import CSENet
from tests.support.building import SHORT, empty_network, without_middle_stages
from tests.support.started import stand_in
from utils.checkpoint.snapshots import LoadedModel

pytestmark = [pytest.mark.newest_only, pytest.mark.slow]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *options: str) -> str:
    """Return what a benchmark prints."""
    module = importlib.import_module(f"benchmarks.{script.removesuffix('.py')}")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [script, *options])
        module.main()
    return printed.getvalue()


class QuickYardstick(nn.Module):
    """Stands in for the yardstick, which takes seconds to build and to run."""

    def __init__(self, num_classes: int = 20) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 64, 7, padding=3), nn.Conv2d(64, num_classes, 3, padding=1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict.fromkeys(("out", "aux"), self.layers(images))


@pytest.fixture
def _short_backbone(short_backbones: None, short_network: CSENet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what runs in this process have networks that take no seconds to build."""

    def build(*sizes: Any, **_: int) -> CSENet:
        network = empty_network(*sizes, depth=SHORT)
        network.load_state_dict(short_network.state_dict())
        return without_middle_stages(network).train()

    for name in ("training_step", "harness"):
        monkeypatch.setattr(f"benchmarks.{name}.CSENet", build)


@pytest.fixture
def _quick_yardstick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inference_speed", "single_picture", "training_step"):
        monkeypatch.setattr(f"benchmarks.{name}.yardstick", QuickYardstick)


def test_the_yardstick_is_torchvisions_network() -> None:
    network = yardstick(7).eval()
    assert type(network).__name__ == "DeepLabV3"
    with torch.inference_mode():
        out = network(torch.randn(1, 3, 33, 33))
    assert {key: value.shape for key, value in out.items()} == dict.fromkeys(("out", "aux"), (1, 7, 33, 33))


def test_the_network_has_the_published_size() -> None:
    printed = run("model_size.py")
    (total,) = re.findall(r"^all +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    assert total[0] == "102.88"
    assert round(float(total[1])) == 336
    assert "one 473 x 473 image" in printed


@pytest.mark.usefixtures("_quick_yardstick")
def test_engines_are_checked_and_measured_in_yardsticks(tmp_path: Path) -> None:
    # In float32: processors that do not compute in bfloat16 emulate it, in minutes.
    file = tmp_path / "speed.json"
    options = ("--device", "cpu", "--size", "65,97", "--repeat", "1", "--warmup", "0", "--json", str(file))
    printed = run("inference_speed.py", *options)
    assert re.search(r"^engine torch: logits differ by at most \d\.\de-0[4-9]", printed, re.MULTILINE)
    rows = json.loads(file.read_text())["rows"]
    assert list(rows) == ["yardstick", "network", "engine torch"]
    for name, row in rows.items():
        assert row["ratio"]["least"] <= row["ratio"]["median"] <= row["ratio"]["most"]
        assert re.search(rf"^{name} +[\d.]+ +{row['ratio']['median']:.2f} ", printed, re.MULTILINE)
    assert "1 x 3 x 65 x 97, 20 classes, engines with amp off; 1 passes after 0; " in printed


@pytest.mark.usefixtures("_quick_yardstick")
def test_pictures_are_checked_and_measured_in_yardsticks(
    short_network: CSENet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_picture, "load_model", lambda path, input_size: LoadedModel(short_network, None))
    for number in range(3):
        Image.new("RGB", (40, 60), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    compared = ("--checkpoint", "short.pth", "--photographs", str(tmp_path))
    file = tmp_path.with_suffix(".json")
    options = ("--device", "cpu", "--size", "65,81", "--repeat", "1", "--warmup", "0", "--pictures", "1", "2")
    printed = run("single_picture.py", *options, *compared, "--json", str(file))
    assert re.search(r"^classes agree .* on (99\.9\d|100\.00)% of the pixels of 3 pictures, on ", printed, re.MULTILINE)
    rows = json.loads(file.read_text())["rows"]
    assert [row["pictures"] for row in rows.values()] == [1, 1, 2]
    assert list(rows)[1:] == ["predict, 1 at once", "predict, 2 at once"]


def test_steps_are_compared_with_the_published_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradients are taken for wrong by as much as what they are compared with is changed, so both are right."""
    recorded = dict(training_step.load("train_97"))
    recorded["grad_norms"] = 1.01 * recorded["grad_norms"]
    monkeypatch.setattr(training_step, "load", lambda _: recorded)
    with pytest.raises(AssertionError, match=r"Max relative difference.*: 0\.009"):
        training_step.check_step(torch.device("cpu"))


@pytest.mark.usefixtures("_quick_yardstick", "_short_backbone")
def test_a_training_step_is_checked_and_measured_beside_the_yardstick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "step.json"
    options = ("--device", "cpu", "--size", "65,65", "--batch", "1", "--repeat", "1", "--warmup", "0")
    checked: list[torch.device] = []  # `check_step` has a test of its own: it needs the whole network
    monkeypatch.setattr(training_step, "check_step", checked.append)
    in_own_process = training_step.in_own_process
    monkeypatch.setattr(training_step, "in_own_process", lambda name, o: in_own_process(name, o) if "C" in name else 1)
    printed = run("training_step.py", *options, "--json", str(file))
    written = json.loads(file.read_text())
    assert checked == [torch.device("cpu")]
    assert written["peak_bytes"]["CSENet"] > 102.88e6 * 4 * 3, "weights, gradients and momentum"
    assert f"takes {written['ratio']['median']:.2f} (" in printed
    assert "1 x 3 x 65 x 65, 20 classes, amp off" in printed


def test_an_evaluation_is_checked_and_measured_beside_the_bare_network(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    tiny = ("--device", "cpu", "--size", "65,65", "--depth", "50", "--num-workers", "0")
    printed = run("evaluation.py", *tiny, "--pictures", "2", "--repeat", "1", "--json", str(file))
    assert f"takes {json.loads(file.read_text())['ratio']['median']:.2f} (" in printed


@pytest.mark.usefixtures("_short_backbone")
def test_scaling_is_measured_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The one process of the processes is this one: another would have to build a long backbone.
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr("benchmarks.scaling.torch.set_num_threads", lambda _: None)
    monkeypatch.setattr("benchmarks.scaling.mp.spawn", lambda run, arguments, nprocs: run(0, *arguments))
    tiny = ("--device", "cpu", "--size", "65,65", "--depth", "50", "--warmup", "0", "--repeat", "1")
    points = ("--batches", "1", "--sizes", "65", "--processes", "1")
    printed = run("scaling.py", *tiny, *points, "--figure", str(tmp_path / "scaling.png"))
    assert re.search(r"^processes +1\n +training step +[\d.]+$", printed, re.MULTILINE)
    with Image.open(tmp_path / "scaling.png") as picture:
        assert picture.size == (3 * 420, 320)


@pytest.mark.usefixtures("_short_backbone")
def test_blocks_of_a_step_are_compiled_for_passes_with_gradients_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch compiles one function 8 times, for the 8 kinds of blocks, and leaves what comes after that as it is."""
    with_gradients: list[bool] = []

    def note(network: nn.Module) -> None:
        network.register_forward_pre_hook(lambda *_: with_gradients.append(torch.is_grad_enabled()))

    monkeypatch.setattr(gpu_rows, "compile_blocks", note)
    for module in (gpu_rows, harness):  # a CPU may emulate bf16, slowly
        monkeypatch.setattr(module, "autocast", lambda *_: contextlib.nullcontext())
    options = argparse.Namespace(batch=2, size=(65, 65), depth=50, device="cpu", compile=True)
    step, _ = gpu_rows.training(options, "bf16")
    step()
    assert with_gradients == [True]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no GPU")
def test_without_a_gpu_its_benchmark_says_so_and_ends_with_a_status_of_its_own(tmp_path: Path) -> None:
    command = ["bash", str(BENCHMARKS / "gpu.sh")]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | stand_in(tmp_path))
    assert ended.returncode == 3
    assert ended.stderr == "benchmarks/gpu.sh: PyTorch finds no CUDA GPU here, so there is nothing to measure\n"


def test_the_loss_is_checked_and_measured_in_sorts(tmp_path: Path) -> None:
    file = tmp_path / "loss.json"
    options = ("--device", "cpu", "--size", "65,97", "--repeat", "2", "--warmup", "0", "--json", str(file))
    printed = run("loss.py", *options)
    written = json.loads(file.read_text())
    assert [row["weights"] for row in written["rows"]] == ["initial", "trained", "saturated"]
    for row in written["rows"]:
        assert 0 < row["left_to_sort"] < 1
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert re.search(rf"^{row['weights']} .* {row['ratio']:.2f} ", printed, re.MULTILINE)
    assert "2 x 65 x 97, 20 classes, drawn people; a sort is one of (20, 12610) float32; 2 passes" in printed
