"""Every published layout, trained for two steps and evaluated by the scripts, with the tiny network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import train
from dataset.check import main as check
from dataset.descriptions import DatasetDescription
from tests.support.tiny_network import TinyNetwork
from utils.checkpoint import load_weights, read_checkpoint
from utils.checkpoint.snapshots import LoadedModel
from utils.evaluation import cli as evaluation_script
from utils.inference import loading


def load_tiny_model(path: str, *, input_size: tuple[int, int] | None = None) -> LoadedModel:
    content = read_checkpoint(path)
    description = DatasetDescription.from_dict(content["description"])
    model: Any = TinyNetwork(description.num_classes, tuple(content["input_size"]))
    return LoadedModel(load_weights(model, content).eval(), description)


@pytest.mark.parametrize(
    ("name", "layout", "root", "values", "classes"),
    [
        ("lip", "lip", "data", (0, 20), 20),
        ("lip", "lip", "data/images_labels", (0, 20), 20),
        ("cihp", "cihp", "data", (0, 20), 20),
        ("atr", "lip", "data", (0, 18), 18),
        ("atr", "voc", "ATR", (0, 18), 18),
        ("pascal_person_part", "lip", "data", (0, 7), 7),
        ("pascal_person_part", "voc_parts", "data", (0, 7), 7),
        ("pascal_person_part", "voc", "Pascal-Person-Part", (0, 7), 7),
        ("ade20k", "ade20k", "data", (0, 151), 150),
    ],
)
def test_a_layout_can_be_trained_on_and_evaluated(
    name: str,
    layout: str,
    root: str,
    values: tuple[int, int],
    classes: int,
    make_dataset: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_dataset(layout, root=root, values=values)
    data, run, report = tmp_path / root.partition("/")[0], tmp_path / "run", tmp_path / "report.json"
    monkeypatch.setattr(loading, "load_model", load_tiny_model)
    place = ["--data-dir", str(data), "--num-workers", "0", "--device", "cpu"]
    assert check(["--data-dir", str(data), "--dataset", name]) == 0
    if layout == "lip" and name != "lip":  # only the name tells them
        place += ["--dataset", name]
    options = ["--snapshot-dir", str(run), "--input-size", "65,65", "--log-every", "1"]
    options += ["--batch-size", "1", "--accumulate", "1", "--epochs", "1"]
    tiny: Any = TinyNetwork
    assert train.main([*place, *options], build_network=tiny) == 0
    snapshot = run / f"{name.upper()}_epoch_Best.pth"
    assert read_checkpoint(snapshot)["step"] == 3
    arguments = [*place, "--checkpoint", str(snapshot), "--report", str(report)]
    assert evaluation_script.run("test", (1.0,), arguments) == 0
    found = json.loads(report.read_text())
    assert (len(found["iou"]), found["images"]) == (classes, 2)
    assert found["pixel_accuracy"] > 0
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(line["rows"] > 0 for line in log if line["kind"] == "step")
