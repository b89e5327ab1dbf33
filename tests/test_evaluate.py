"""The two evaluation scripts, on drawn people and a small network with the recorded weights."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.descriptions import BUILT_IN, load_description
from dataset.people import make_dataset
from dataset.reading import read_label
from networks import CSENet
from utils.colours import palette
from utils.evaluation_script import run
from utils.metrics import ConfusionMatrix
from utils.published_names import to_published
from utils.snapshots import load_model, snapshot_content, write_snapshot

ROOT = Path(__file__).parents[1]
IMAGES = 8

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight validation photographs: a batch of seven and one more."""
    return make_dataset(tmp_path_factory.mktemp("people"), num_train=1, num_val=IMAGES, size=(110, 80), workers=1)


@pytest.fixture(scope="module")
def snapshot(people: Path, small_network: CSENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "DEMO_epoch_Best.pth"
    write_snapshot(path, snapshot_content(small_network, load_description(people)))
    return path


@pytest.fixture
def evaluate(people: Path, snapshot: Path, tmp_path: Path) -> Evaluate:
    """Evaluate and return the report."""

    def evaluate(*options: str, checkpoint: Path = snapshot, scales: tuple[float, ...] = (1.0,)) -> dict[str, Any]:
        path = tmp_path / "report.json"
        arguments = ["--data-dir", str(people), "--checkpoint", str(checkpoint), "--device", "cpu"]
        status = run("test", scales, [*arguments, "--report", str(path), "--num-workers", "0", *options])
        assert status == 0
        return dict(json.loads(path.read_text()))

    return evaluate


def without_rate(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "images_per_second"}


def test_the_report_counts_the_saved_predictions(
    evaluate: Evaluate, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = evaluate("--save-predictions", str(tmp_path / "maps"))
    description = load_description(people)
    confusion = ConfusionMatrix(20)
    for path in sorted((people / "val_segmentations").iterdir()):
        label, prediction = read_label(path, description), read_label(tmp_path / "maps" / path.name, description)
        assert len(np.unique(prediction)) > 2, "the test needs predictions of several classes"
        confusion.update(prediction, label)
    assert list(report) == [
        "mean_iou", "pixel_accuracy", "mean_accuracy", "iou", "images", "scales", "mirror", "images_per_second"
    ]  # fmt: skip
    assert report["mean_iou"] == confusion.mean_iou
    assert report["pixel_accuracy"] == confusion.pixel_accuracy
    assert report["mean_accuracy"] == confusion.mean_accuracy
    assert report["iou"] == dict(zip(description.class_names, confusion.iou.tolist(), strict=True))
    assert (report["images"], report["scales"], report["mirror"]) == (IMAGES, [1.0], True)
    table = capsys.readouterr().out
    assert f"{confusion.mean_iou:.2f}" in table
    assert re.search(rf"^Left-shoe +{confusion.iou[18]:.2f}$", table, re.MULTILINE)


def test_batch_size_and_workers_do_not_change_the_numbers(evaluate: Evaluate) -> None:
    scales = (0.75, 1.0)
    one = evaluate("--batch-size", "1", scales=scales)
    seven = evaluate("--batch-size", "7", "--num-workers", "2", scales=scales)
    assert without_rate(one) == without_rate(seven)
    assert one["scales"] == [0.75, 1.0]


def test_processes_do_not_change_the_numbers(evaluate: Evaluate, people: Path, snapshot: Path, tmp_path: Path) -> None:
    """The multi-scale script, in two processes started by torchrun, against one call in this process."""
    path = tmp_path / "two.json"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = [
        "--data-dir",
        people,
        "--checkpoint",
        snapshot,
        "--report",
        path,
        "--num-workers",
        "0",
        "--device",
        "cpu",
    ]
    command = [*torchrun, ROOT / "evaluate_multiscale.py", *options]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("mIoU") == 1
    assert f"{IMAGES}/{IMAGES} images" in result.stderr
    two = json.loads(path.read_text())
    assert two["images"] == IMAGES
    assert without_rate(two) == without_rate(evaluate(scales=(0.75, 1.0, 1.25)))


def test_the_published_layout_gives_the_numbers_of_the_snapshot(
    evaluate: Evaluate, small_network: CSENet, tmp_path: Path
) -> None:
    """It carries no input size, which must be given, and no classes, which the dataset names."""
    path = tmp_path / "LIP_epoch_Best.pth"
    torch.save({f"module.{name}": t for name, t in to_published(small_network.state_dict()).items()}, path)
    published = evaluate("--input-size", "97,97", checkpoint=path)
    assert without_rate(published) == without_rate(evaluate())
    assert load_model(path).model.input_size == (473, 473)


def test_mirror_is_part_of_the_protocol(evaluate: Evaluate) -> None:
    with_mirror, without = evaluate(), evaluate("--no-mirror")
    assert without["mirror"] is False
    assert with_mirror["mean_iou"] != without["mean_iou"]


def test_pictures_show_labels_and_predictions(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate("--examples", str(tmp_path / "new" / "examples.png"), "--confusion-picture", str(tmp_path / "c.png"))
    examples = np.asarray(Image.open(tmp_path / "new" / "examples.png"))
    background, coat = (np.all(examples == palette("demo")[c], axis=2).mean() for c in (0, 7))
    assert background > 0.1
    assert coat > 0.001
    with Image.open(tmp_path / "c.png") as confusion:
        assert min(confusion.size) > 20 * 30


def test_mistakes_are_told_in_one_line(
    people: Path, snapshot: Path, small_network: CSENet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tmp_path / "backbone.pth"
    torch.save(small_network.backbone.state_dict(), backbone)
    cihp = tmp_path / "cihp.pth"
    write_snapshot(cihp, snapshot_content(small_network, BUILT_IN["cihp"]))
    few = with_seven_classes(tmp_path / "parts", people)
    cases = {
        (people, tmp_path / "missing.pth"): "does not exist",
        (people, backbone): "holds a backbone alone",
        (people, cihp): "'Torso-skin' instead of 'Jumpsuits'",
        (few, snapshot): "has 20 classes, the dataset parts 7",
        (tmp_path / "nowhere", snapshot): "no such folder",
    }
    for (data, checkpoint), message in cases.items():
        assert run("test", (1.0,), ["--data-dir", str(data), "--checkpoint", str(checkpoint), "--device", "cpu"]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def with_seven_classes(folder: Path, people: Path) -> Path:
    """A copy of the people that says it has seven classes."""
    folder.mkdir()
    for part in people.iterdir():
        (folder / part.name).symlink_to(part)
    (folder / "dataset.json").unlink()
    description = {"name": "parts", "classes": list("abcdefg"), "flip_pairs": [], "ignore_label": 255}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder
