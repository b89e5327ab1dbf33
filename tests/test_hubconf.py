"""torch.hub: the entry points, loaded from this folder as a stranger's program would."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hubconf
import utils.inference.loading
from tests.support.tiny_parser import CROP, tiny_network
from utils.checkpoint import CheckpointError
from utils.checkpoint.snapshots import LoadedModel

ROOT = str(Path(__file__).parents[1])


def hub_load(name: str, *arguments: Any, **options: Any) -> Any:
    return torch.hub.load(ROOT, name, *arguments, source="local", **options)


def test_networks_without_checkpoint() -> None:
    with torch.device("meta"):  # shapes are enough
        model = hub_load("csenet_resnet101")
        small = hub_load("csenet_resnet50", num_classes=7, input_size=(97, 73))
    assert (model.num_classes, model.input_size, model.depth, model.training) == (20, (473, 473), 101, True)
    assert (small.num_classes, small.input_size, small.depth) == (7, (97, 73), 50)


def test_checkpoints_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: Any = LoadedModel(tiny_network(), None)  # type: ignore[arg-type]
    monkeypatch.setattr("utils.checkpoint.snapshots.load_model", lambda path, input_size: loaded)
    monkeypatch.setattr(utils.inference.loading, "load_model", lambda path, input_size: loaded)
    assert hub_load("csenet_resnet101", checkpoint="any.pth") is loaded.model
    with pytest.raises(CheckpointError, match="depth 101: load csenet_resnet101"):
        hub_load("csenet_resnet50", "any.pth")
    with pytest.raises(CheckpointError, match="has 20 classes, not 7"):
        hub_load("csenet_resnet101", "any.pth", num_classes=7)
    parser = hub_load("human_parser", "any.pth", device="cpu", description="cihp")
    assert parser.description.name == "cihp"
    assert parser.input_size == CROP
    assert parser.predict(np.zeros((9, 8, 3), np.uint8)).shape == (9, 8)


def test_a_wrong_checkpoint_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.pth"):
        hub_load("human_parser", "nowhere.pth")


def test_dependencies_are_importable_names() -> None:
    for name in hubconf.dependencies:
        __import__(name)


def test_a_program_with_its_own_utils_is_told(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("mine = True\n")
    code = f"import utils, torch; torch.hub.load({ROOT!r}, 'csenet_resnet50', source='local')"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert "ImportError: CSENet has a package 'utils', but this program has already imported another" in result.stderr
