"""Snapshots: written whole or not at all, and read back as the network they were."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import hubconf
from dataset.descriptions import BUILT_IN
from networks import CSENet
from tests.support.building import SHORT, SHORT_SIZE
from tests.support.weights import published
from utils.checkpoint import CheckpointError, read_checkpoint
from utils.checkpoint.published_names import to_published
from utils.checkpoint.snapshots import load_model, snapshot_content, write_snapshot


@pytest.mark.usefixtures("short_backbones")
def test_a_snapshot_is_the_network_and_what_it_means(short_network: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "new" / "snapshot.pth"
    write_snapshot(path, snapshot_content(short_network, BUILT_IN["cihp"], step=7, options={"epochs": 3}))
    loaded = load_model(path)
    assert not loaded.model.training
    assert (loaded.model.depth, loaded.model.input_size, loaded.model.num_classes) == (SHORT, SHORT_SIZE, 20)
    assert loaded.description == BUILT_IN["cihp"]
    content = read_checkpoint(path)
    assert (content["step"], content["options"]) == (7, {"epochs": 3})
    tensors = loaded.model.state_dict()
    for name, tensor in short_network.state_dict().items():
        assert torch.equal(tensors[name], tensor), name
    assert os.listdir(path.parent) == ["snapshot.pth"]


def test_a_failed_write_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snapshot.pth"
    write_snapshot(path, {"step": 1})

    def full_disk(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_snapshot(path, {"step": 2})
    assert read_checkpoint(path)["step"] == 1
    assert os.listdir(tmp_path) == ["snapshot.pth"]


@pytest.mark.usefixtures("short_backbones")
def test_old_files_without_step_counters_load_with_counters_at_zero(short_network: CSENet, tmp_path: Path) -> None:
    state = {n: t for n, t in short_network.state_dict().items() if not n.endswith("num_batches_tracked")}

    torch.save(to_published(state), tmp_path / "old.pth")
    model = load_model(tmp_path / "old.pth", input_size=(97, 97)).model
    counters = [t for n, t in model.state_dict().items() if n.endswith("num_batches_tracked")]
    assert counters
    assert all(int(counter) == 0 for counter in counters)


def test_a_backbone_alone_is_refused(short_network: CSENet, tmp_path: Path) -> None:
    torch.save(short_network.backbone.state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match="holds a backbone alone; it can start a training"):
        load_model(tmp_path / "resnet.pth")


def write(path: Path, **changes: Any) -> Path:
    """Write a snapshot with something else in it than it should have, which is said before the network is filled.

    It lacks the backbone's layers, most of the tensors, which would be said otherwise.
    """
    weights = {name: tensor for name, tensor in published().items() if not name.startswith("layer")}
    content = {"model": weights, "description": BUILT_IN["lip"].to_dict(), "input_size": [97, 97]}
    write_snapshot(path, content | changes)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"description": BUILT_IN["atr"].to_dict()}, "contradicts itself: its network has 20 classes"),
        ({"description": "lip"}, "is a damaged snapshot: its description: must hold a JSON object with name"),
        ({"description": {"name": "lip"}}, "is a damaged snapshot: its description: lacks classes"),
        ({"input_size": [0, 0]}, "is a damaged snapshot: input size 0 x 0"),
        ({"input_size": [473, -473]}, "input size 473 x -473"),
        ({"input_size": [64, 473]}, "is not between 65 x 65"),
        ({"input_size": "473,473"}, "input size '473,473' is not two whole numbers"),
        ({"input_size": ["473", "473"]}, "not two whole numbers"),
        ({"input_size": [473.5, 473.5]}, "not two whole numbers"),
        ({"input_size": [473, 473, 3]}, "not two whole numbers"),
        ({"input_size": []}, "not two whole numbers"),
        ({"input_size": 473}, "not two whole numbers"),
    ],
)
def test_a_snapshot_that_says_impossible_things_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "snapshot.pth", **changes)
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"'{path}' ")
    assert message in str(caught.value)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        hubconf.human_parser(str(path), device="cpu")


@pytest.mark.parametrize("size", [(0, 0), (473, -1), ("473", "473"), (64, 64), (), 0])
def test_an_impossible_size_is_refused_where_it_is_given(size: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "snapshot.pth")
    for load in (load_model, hubconf.csenet_resnet101, hubconf.human_parser):
        with pytest.raises(ValueError, match="input size "):
            load(str(path), input_size=size)
    with pytest.raises(ValueError, match="input size "):
        hubconf.csenet_resnet50(input_size=size)


def test_a_network_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="num_classes is 0"):
        hubconf.csenet_resnet50(num_classes=0)
