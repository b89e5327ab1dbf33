"""Files and folders that cannot be written are refused before the work, with a sentence that names them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dataset.check
import export
import predict
from utils.evaluation import cli as evaluation
from utils.inference import HumanParser


def evaluate(*arguments: str) -> int:
    return evaluation.run("", (1.0,), ["--data-dir", "nowhere", "--checkpoint", "nowhere.pth", *arguments])


def export_onnx(*arguments: str) -> int:
    return export.main(["--checkpoint", "nowhere.pth", "--format", "onnx", *arguments])


def parse(*arguments: str) -> int:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("photo.png")
    return predict.main(["--checkpoint", "nowhere.pth", "--input", "photo.png", *arguments])


def check(option: str, path: str) -> int:
    return dataset.check.main(["--data-dir", "nowhere", option, f"{path}.png" if option == "--output" else path])


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return paths where nothing can be written, by what is wrong with them, also for the superuser."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for name in ("circle", "circle.png"):
        (tmp_path / name).symlink_to(name)
    return {
        "in a file": "file/x",
        "no folder at all": "/proc/nowhere/x",
        "endless": f"{'n' * 300}/x",
        "circle": "circle",
    }


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (evaluate, "--report"),
        (evaluate, "--examples"),
        (evaluate, "--confusion-picture"),
        (evaluate, "--save-predictions"),
        (export_onnx, "--output"),
        (parse, "--output"),
        (check, "--report"),
        (check, "--output"),
    ],
)
def test_what_cannot_be_written_is_refused_first(
    command: Callable[..., int],
    option: str,
    places: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data and the weights are not there either: that is what would be said later."""

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("the weights were loaded")

    monkeypatch.setattr(HumanParser, "from_checkpoint", load)
    for path in places.values():
        assert command(option, path) == 2
        out, error = capsys.readouterr()
        assert (out, error.count("\n")) == ("", 1), error
        assert path.split("/")[0] in error


def test_a_folder_is_no_file(places: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("--report", "folder") == 2
    assert "'folder'" in capsys.readouterr().err
