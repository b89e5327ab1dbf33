"""The two evaluation scripts, on drawn people and a short network with the recorded weights."""

import contextlib
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dataset.descriptions import BUILT_IN, list_samples, load_description
from dataset.geometry import back_to_picture
from dataset.layouts import Sample
from dataset.people import make_dataset
from dataset.reading import read_label
from networks import CSENet
from tests.golden.recorded import load
from tests.support import started
from utils.boundaries import BoundaryIoU
from utils.checkpoint.published_names import to_published
from utils.checkpoint.snapshots import load_model, snapshot_content, write_snapshot
from utils.distributed import Processes
from utils.evaluation.cli import run
from utils.evaluation.engine import Evaluation
from utils.evaluation.engine import evaluate as evaluate_crops
from utils.evaluation.report import evaluation_report, examples_picture, format_report, validation_figures
from utils.metrics import ConfusionMatrix

pytestmark = pytest.mark.usefixtures("short_backbones")

ROOT = Path(__file__).parents[3]
IMAGES = 4
MULTI_SCALE = (0.75, 1.0, 1.25)

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four validation photographs: a batch of three and one more."""
    return make_dataset(tmp_path_factory.mktemp("people"), num_train=1, num_val=IMAGES, size=(110, 80), workers=1)


@pytest.fixture(scope="module")
def snapshot(people: Path, short_network: CSENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built for 65 x 65, which is faster."""
    path = tmp_path_factory.mktemp("weights") / "DEMO_epoch_Best.pth"
    content = snapshot_content(short_network, load_description(people)) | {"input_size": [65, 65]}
    write_snapshot(path, content)
    return path


@pytest.fixture(scope="module")
def evaluate(people: Path, snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Evaluate and return the report."""

    def evaluate(*options: str, checkpoint: Path = snapshot, scales: tuple[float, ...] = (1.0,)) -> dict[str, Any]:
        path = tmp_path_factory.mktemp("report") / "report.json"
        arguments = ["--data-dir", str(people), "--checkpoint", str(checkpoint), "--device", "cpu"]
        status = run("test", scales, [*arguments, "--report", str(path), "--num-workers", "0", *options])
        assert status == 0
        return dict(json.loads(path.read_text()))

    return evaluate


class Plain(NamedTuple):
    """What an evaluation by default gives."""

    report: dict[str, Any]
    table: str
    maps: Path


@pytest.fixture(scope="module")
def plain(evaluate: Evaluate, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """An evaluation by default, made once: loading the network and parsing with it takes seconds."""
    maps = tmp_path_factory.mktemp("plain") / "maps"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        report = evaluate("--save-predictions", str(maps))
    return Plain(report, printed.getvalue(), maps)


@pytest.fixture(scope="module")
def one_by_one(evaluate: Evaluate) -> dict[str, Any]:
    """The report of the multi-scale protocol, in this process and one image at a time."""
    return evaluate("--batch-size", "1", scales=MULTI_SCALE)


def without_rate(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "images_per_second"}


def test_saved_predictions_have_exact_centres_and_the_report_counts_them_beside_the_published_measure(
    plain: Plain, people: Path
) -> None:
    report = plain.report
    description = load_description(people)
    confusion, boundary = ConfusionMatrix(20), BoundaryIoU(20)
    for path in sorted((people / "val_segmentations").iterdir()):
        label, prediction = read_label(path, description), read_label(plain.maps / path.name, description)
        assert len(np.unique(prediction)) > 2, "the test needs predictions of several classes"
        confusion.update(prediction, label)
        boundary.update(prediction, label)
    figures = ["mean_iou", "mean_boundary_iou", "pixel_accuracy", "mean_accuracy"]
    figures += ["iou", "boundary_iou", "present_classes"]
    assert list(report) == [*figures, "exact_centre", "images", "scales", "mirror", "images_per_second"]
    exact = report["exact_centre"]
    assert list(exact) == figures
    assert exact["mean_iou"] == confusion.mean_iou
    assert exact["pixel_accuracy"] == confusion.pixel_accuracy
    assert exact["mean_accuracy"] == confusion.mean_accuracy
    assert list(exact["iou"]) == list(exact["boundary_iou"]) == list(description.class_names)
    assert exact["mean_boundary_iou"] == boundary.mean_iou
    assert [iou or 0 for iou in exact["boundary_iou"].values()] == boundary.iou.tolist()
    assert [iou or 0 for iou in exact["iou"].values()] == confusion.iou.tolist()
    assert report["mean_iou"] != exact["mean_iou"], "110 x 80 is even"
    assert (report["images"], report["scales"], report["mirror"]) == (IMAGES, [1.0], True)
    shoe = [figures[key]["Left-shoe"] for figures in (report, exact) for key in ("iou", "boundary_iou")]
    mean = [figures[key] for figures in (report, exact) for key in ("mean_iou", "mean_boundary_iou")]
    for name, values in {
        "Left-shoe": shoe,
        "mIoU": mean,
        "pixel accuracy": [report["pixel_accuracy"], exact["pixel_accuracy"]],
        "mean accuracy": [report["mean_accuracy"], exact["mean_accuracy"]],
    }.items():
        assert re.search(
            " +".join([f"^{name}", *(f"{value:.2f}" for value in values)]) + "$", plain.table, re.MULTILINE
        )


class GivenCrops:
    """Stands in for a `CropParser`: "predicts" given crops, one after another."""

    device = torch.device("cpu")

    def __init__(self, crops: Sequence[NDArray[np.uint8]]) -> None:
        self.crops = iter(crops)

    def classes(self, images: Tensor) -> Tensor:
        return torch.from_numpy(np.stack([next(self.crops) for _ in images]))


def scored(crops: Sequence[NDArray[np.uint8]], labels: Sequence[NDArray[np.uint8]], folder: Path) -> Evaluation:
    """Evaluate given predictions of photographs with given labels, each parsed once."""
    folder.mkdir()
    samples = []
    for i, label in enumerate(labels):
        image, path = folder / f"{i}.jpg", folder / f"{i}.png"
        Image.new("RGB", label.shape[::-1]).save(image)
        Image.fromarray(label).save(path)
        samples.append(Sample(str(i), image, path))
    parser: Any = GivenCrops(crops)
    processes = Processes(0, 1, 1, parser.device)
    return evaluate_crops(
        parser, samples, BUILT_IN["lip"], processes, input_size=crops[0].shape, batch_size=2, num_workers=0
    )


def test_saved_predictions_are_scored_as_the_evaluation_scored_them_by_the_exact_centre(
    plain: Plain, people: Path, tmp_path: Path
) -> None:
    exact = plain.report["exact_centre"]
    arguments = ["--data-dir", str(people), "--predictions", str(plain.maps)]
    assert run("test", (1.0,), [*arguments, "--report", str(tmp_path / "scored.json")]) == 0
    scored = json.loads((tmp_path / "scored.json").read_text())
    assert {name: scored[name] for name in exact} == exact


def test_the_mean_iou_is_of_the_published_mapping_and_beside_it_stands_the_exact_one(tmp_path: Path) -> None:
    """Recorded predictions, with what either mapping makes of them as the labels."""
    recorded = load("mapback")
    crops, sizes = [recorded[f"crop{i}"] for i in (0, 3, 6)], [tuple(recorded[f"size{i}"].tolist()) for i in (0, 3, 6)]
    published = [back_to_picture(c, size, whole_pixel_centre=True) for c, size in zip(crops, sizes, strict=True)]
    exact = [back_to_picture(crop, size) for crop, size in zip(crops, sizes, strict=True)]
    by_published, by_exact = scored(crops, published, tmp_path / "a"), scored(crops, exact, tmp_path / "b")
    assert by_published.published.confusion.pixel_accuracy == by_exact.exact.confusion.pixel_accuracy == 100.0
    different = sum(int((a != b).sum()) for a, b in zip(published, exact, strict=True))
    for other in (by_published.exact.confusion, by_exact.published.confusion):
        assert other.matrix.sum() - other.matrix.trace() == different > 500


def test_a_class_that_occurs_nowhere_is_shown_as_absent(tmp_path: Path) -> None:
    """Perfect predictions of 19 of 20 classes: the published mean is 95, that over the classes present 100."""
    names = BUILT_IN["lip"].class_names
    crop = np.resize(np.delete(np.arange(20, dtype=np.uint8), names.index("Glove")), (97, 97))
    evaluation = scored([crop], [back_to_picture(crop, (97, 97))], tmp_path / "data")
    report = evaluation_report(evaluation, names, scales=(1.0,), mirror=True)
    for figures in (report, report["exact_centre"]):
        assert figures["iou"]["Glove"] is None
        assert figures["iou"]["Hat"] == figures["pixel_accuracy"] == 100.0
        assert figures["mean_iou"] == figures["mean_accuracy"] == 95.0
        perfect = dict.fromkeys(("mean_iou", "mean_boundary_iou", "mean_accuracy"), 100.0)
        assert figures["present_classes"] == {"count": 19, **perfect}
        assert (figures["boundary_iou"]["Glove"], figures["mean_boundary_iou"]) == (None, 95.0)
    logged = validation_figures(evaluation, names)
    assert (logged["iou/Glove"], logged["present_classes/mean_iou"], logged["mean_iou"]) == (None, 100.0, 95.0)
    table = format_report(report)
    full = " +100.00" * 4
    for row in ("Glove +- +- +- +-", f"Hat{full}", "mIoU" + " +95.00" * 4, f"mIoU, classes present{full}"):
        assert re.search(rf"^{row}$", table, re.MULTILINE), row
    assert "-: a class in no label and no prediction" in table


def test_the_table_of_a_set_with_all_classes_speaks_of_none_absent(tmp_path: Path) -> None:
    crop = np.resize(np.arange(20, dtype=np.uint8), (97, 97))
    evaluation = scored([crop], [back_to_picture(crop, (97, 97))], tmp_path / "data")
    table = format_report(evaluation_report(evaluation, BUILT_IN["lip"].class_names, scales=(1.0,), mirror=True))
    assert "present" not in table
    assert not re.search(r" -\s", table)


@pytest.mark.slow
def test_batch_size_and_workers_do_not_change_the_numbers(evaluate: Evaluate, one_by_one: dict[str, Any]) -> None:
    three = evaluate("--batch-size", "3", "--num-workers", "2", scales=MULTI_SCALE)
    assert without_rate(three) == without_rate(one_by_one)
    assert three["scales"] == list(MULTI_SCALE)


@pytest.mark.slow
def test_processes_do_not_change_the_numbers(
    one_by_one: dict[str, Any], people: Path, snapshot: Path, tmp_path: Path
) -> None:
    """The multi-scale script, in two processes, against one call in this process."""
    path = tmp_path / "two.json"
    options = ["--data-dir", str(people), "--checkpoint", str(snapshot), "--report", str(path), "--num-workers", "0"]
    command = ["evaluate_multiscale.py", *options, "--device", "cpu"]
    result = started.run_together(2, "tests/support/short.py", command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("class  ") == 1, "one process prints the table"
    assert f"{IMAGES}/{IMAGES} images" in result.stderr
    two = json.loads(path.read_text())
    assert two["images"] == IMAGES
    assert without_rate(two) == without_rate(one_by_one)


def test_the_published_layout_gives_the_numbers_of_the_snapshot(
    evaluate: Evaluate, plain: Plain, short_network: CSENet, tmp_path: Path
) -> None:
    """It carries no input size, which must be given, and no classes, which the dataset names."""
    path = tmp_path / "LIP_epoch_Best.pth"
    torch.save({f"module.{name}": t for name, t in to_published(short_network.state_dict()).items()}, path)
    published = evaluate("--input-size", "65,65", checkpoint=path)
    assert without_rate(published) == without_rate(plain.report)
    assert load_model(path).model.input_size == (473, 473)


def test_mirror_is_part_of_the_protocol(evaluate: Evaluate, plain: Plain) -> None:
    without = evaluate("--no-mirror")
    assert without["mirror"] is False
    assert plain.report["mean_iou"] != without["mean_iou"]


def test_pictures_show_labels_and_predictions(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate("--examples", str(tmp_path / "new" / "examples.png"), "--confusion-picture", str(tmp_path / "c.png"))
    examples = np.asarray(Image.open(tmp_path / "new" / "examples.png"))
    background, coat = (np.all(examples == BUILT_IN["lip"].palette[c], axis=2).mean() for c in (0, 7))
    assert background > 0.1
    assert coat > 0.001
    with Image.open(tmp_path / "c.png") as confusion:
        assert min(confusion.size) > 20 * 30


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 3, 1), (2, 6, 1), (3, 6, 2), (4, 6, 2)])
def test_examples_stand_in_rows_of_two_photographs(people: Path, count: int, columns: int, rows: int) -> None:
    dataset = load_description(people)
    samples = list_samples(people, dataset, "val")[:count]
    picture = examples_picture(lambda _, photograph: np.full(photograph.shape[:2], 7, np.uint8), samples, dataset)
    assert picture.shape[1] == columns * 156 + 6
    of_prediction = np.all(picture[22 : 22 + 226 * rows] == dataset.palette[7], axis=2)
    last = of_prediction[226 * (rows - 1) :]
    assert last[:, 2 * 156 : 3 * 156].any()
    assert columns == 3 or last[:, 5 * 156 : 6 * 156].any() == (count % 2 == 0)


def test_mistakes_are_told_in_one_line(
    people: Path, snapshot: Path, short_network: CSENet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backbone = tmp_path / "backbone.pth"
    torch.save(short_network.backbone.state_dict(), backbone)
    cihp = tmp_path / "cihp.pth"
    write_snapshot(cihp, snapshot_content(short_network, BUILT_IN["cihp"]))
    few = with_seven_classes(tmp_path / "parts", people)
    cases = {
        (people, tmp_path / "missing.pth"): "does not exist",
        (people, backbone): "holds a backbone alone",
        (people, cihp): "'Torso-skin' instead of 'Jumpsuits'",
        (few, snapshot): "has 20 classes, the dataset parts 7",
        (tmp_path / "nowhere", snapshot): "no such folder",
    }
    for (data, checkpoint), message in cases.items():
        assert run("test", (1.0,), ["--data-dir", str(data), "--checkpoint", str(checkpoint), "--device", "cpu"]) == 2
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
