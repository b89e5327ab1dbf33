"""Class maps of any parser against the labels of a dataset: `evaluate.py --predictions`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.class_names import ATR, LIP
from dataset.correspondence import read_correspondence
from dataset.descriptions import BUILT_IN
from dataset.layouts import Sample
from dataset.prepare_ccp import CCP
from utils.boundaries import BoundaryIoU
from utils.evaluation import cli
from utils.evaluation.cli import save_to
from utils.metrics import ConfusionMatrix
from utils.pictures.figures import confusion_picture

IDS = ("a", "sub/b", "c")
Score = Callable[..., tuple[int, dict[str, Any]]]
Maps = list[NDArray[np.uint8]]


@pytest.fixture
def labels(tmp_path: Path) -> Maps:
    """Write a dataset of three photographs in LIP's layout, and return their label maps, with some ignored pixels."""
    rng, found = np.random.default_rng(0), []
    for number, name in enumerate(IDS):
        label = np.kron(rng.integers(0, 20, (6, 5)), np.ones((7, 8 + number))).astype(np.uint8)
        label[:3, :3] = 255
        write(tmp_path / "data/val_segmentations" / f"{name}.png", label)
        photograph = tmp_path / "data/val_images" / f"{name}.jpg"
        photograph.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(photograph), np.zeros((*label.shape, 3), np.uint8))
        found.append(label)
    (tmp_path / "data/val_id.txt").write_text("\n".join(IDS))
    return found


@pytest.fixture
def score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Score:
    """Score the folder `maps`; return the exit status and the report. No network may be built."""
    monkeypatch.setattr(cli, "load_engine", lambda *_, **__: pytest.fail("a network was built"))

    def score(*options: object, folder: str = "maps", data: str = "data") -> tuple[int, dict[str, Any]]:
        report = tmp_path / "report.json"
        arguments = ["--data-dir", tmp_path / data, "--predictions", tmp_path / folder, "--report", report, *options]
        status = cli.run("test", (1.0,), [str(argument) for argument in arguments])
        return status, json.loads(report.read_text()) if status < 2 else {}

    return score


def write(path: Path, classes: NDArray[np.uint8], *, with_palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(classes)
    if with_palette:
        picture.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    picture.save(path)


def noisy(label: NDArray[np.uint8], seed: int = 0, classes: int = 20) -> NDArray[np.uint8]:
    """A prediction that is wrong in places, and has a class where the label has none."""
    rng = np.random.default_rng(seed)
    wrong = (rng.random(label.shape) < 0.3) | (label == 255)
    return np.where(wrong, rng.integers(0, classes, label.shape), label).astype(np.uint8)


def figures_of(predictions: Maps, labels: Maps) -> ConfusionMatrix:
    confusion = ConfusionMatrix(20)
    for prediction, label in zip(predictions, labels, strict=True):
        confusion.update(prediction, label)
    return confusion


@pytest.mark.parametrize("with_palette", [False, True])
@pytest.mark.parametrize("place", ["maps", "maps/masks"])
def test_class_maps_are_scored_by_their_ids(
    labels: Maps, score: Score, tmp_path: Path, with_palette: bool, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions = [noisy(label, seed) for seed, label in enumerate(labels)]
    for name, prediction in zip(IDS, predictions, strict=True):
        write(tmp_path / place / f"{name}.png", prediction, with_palette=with_palette)
    status, report = score()
    expected = figures_of(predictions, labels)
    assert status == 0
    assert (report["mean_iou"], report["pixel_accuracy"]) == (expected.mean_iou, expected.pixel_accuracy)
    assert (report["mean_accuracy"], report["images"]) == (expected.mean_accuracy, 3)
    assert [iou or 0 for iou in report["iou"].values()] == expected.iou.tolist()
    assert (report["problems"], report["pixels_without_class"]) == ([], 0)
    boundary = BoundaryIoU(20)
    for prediction, label in zip(predictions, labels, strict=True):
        boundary.update(prediction, label)
    assert report["mean_boundary_iou"] == boundary.mean_iou
    means = f"mIoU            {expected.mean_iou:7.2f}  {boundary.mean_iou:8.2f}\n"
    assert means in capsys.readouterr().out


def test_missing_and_unusable_maps_are_listed_and_count_as_wrong_everywhere(
    labels: Maps, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "maps/c.png", labels[2] % 255)
    status, report = score()
    assert status == 1
    assert [problem["id"] for problem in report["problems"]] == ["a", "sub/b"]
    error = capsys.readouterr().err
    assert "2 of 3 class maps cannot be used, and count as wrong everywhere:\n" in error
    assert f"  {tmp_path}/maps/sub/b.png: there is no such map\n" in error
    valid = [int((label != 255).sum()) for label in labels]
    assert report["pixel_accuracy"] == pytest.approx(100 * valid[2] / sum(valid))
    assert report["pixels_without_class"] == valid[0] + valid[1]
    for number, content in enumerate((labels[0].T, labels[0][:-1], labels[0][..., None].repeat(3, 2))):
        write(tmp_path / "maps/a.png", np.ascontiguousarray(content))
        found = score()[1]
        reason = ("turned by 90 degrees", "is 40 x 41 pixels, its label 40 x 42", "this one is RGB")[number]
        assert reason in found["problems"][0]["reason"]
        assert found["mean_iou"] == report["mean_iou"]
    (tmp_path / "maps/a.png").write_bytes(b"no PNG")
    assert "cannot be read as a label PNG" in score()[1]["problems"][0]["reason"]
    write(tmp_path / "maps/a.png", np.full_like(labels[0], 20))
    assert "the values 20 are no labels of lip" in score()[1]["problems"][0]["reason"]


def test_a_folder_without_any_of_the_maps_is_a_mistake_and_not_a_score_of_zero(
    labels: Maps, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score()[0] == 2
    assert "maps: no such folder" in capsys.readouterr().err
    write(tmp_path / "maps/other.png", labels[0])
    assert score()[0] == 2
    assert "has no class map of any of the 3 photographs; maps are called after the ids" in capsys.readouterr().err


def test_the_maps_ignored_value_is_no_class_where_a_label_is(labels: Maps, score: Score, tmp_path: Path) -> None:
    predictions = [label.copy() for label in labels]
    predictions[0][10:20] = 255
    for name, prediction in zip(IDS, predictions, strict=True):
        write(tmp_path / "maps" / f"{name}.png", prediction)
    status, report = score()
    assert (status, report["pixels_without_class"]) == (0, 10 * labels[0].shape[1])
    lost = np.isin(np.arange(20), labels[0][10:20])
    assert [iou is not None and iou < 100 for iou in report["iou"].values()] == lost.tolist()


def test_a_table_gives_the_classes_of_other_parsers_their_names_here(
    labels: Maps, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "atr-to-lip.json"
    table.write_text(json.dumps({"predictions": "atr", "map": {"Bag": "Background", "8": "Pants"}}))
    own = [noisy(np.minimum(label, 17), seed, 18) for seed, label in enumerate(labels)]
    index = [LIP.index(name) if name in LIP else {"Bag": 0, "Belt": LIP.index("Pants")}[name] for name in ATR]
    for name, prediction in zip(IDS, own, strict=True):
        write(tmp_path / "maps" / f"{name}.png", prediction)
    status, report = score("--map", table)
    expected = figures_of([np.array(index, np.uint8)[prediction] for prediction in own], labels)
    assert (status, report["mean_iou"], report["map"]) == (0, expected.mean_iou, str(table))
    table.write_text(json.dumps({"predictions": "atr", "map": {"Bag": "Background"}}))
    belts = sum(int(((p == ATR.index("Belt")) & (label != 255)).sum()) for p, label in zip(own, labels, strict=True))
    assert score("--map", table)[1]["pixels_without_class"] == belts > 0
    table.write_text(json.dumps({"map": {"3": "Hat", "4": None}, "others": "Background"}))
    expected = ConfusionMatrix(20)
    for prediction, label in zip(own, labels, strict=True):
        expected.miss(label[prediction == 4])
        expected.update(np.where(prediction == 3, 1, 0)[prediction != 4], label[prediction != 4])
    assert score("--map", table)[1]["mean_iou"] == expected.mean_iou


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold a JSON object, not []"),
        ('{"mapp": {}}', "must hold a JSON object with predictions, map or others"),
        ('{"predictions": "art"}', "or one of lip, cihp, atr"),
        ('{"predictions": ["a", "a"]}', "different class names"),
        ('{"predictions": "atr", "map": {"Glove": "Glove"}}', "'Glove', which is none of the 18 classes"),
        ('{"map": {"Hat": "Hat"}}', "their names are those of the key predictions"),
        ('{"map": {"-1": "Hat"}}', "'-1', which is none of the 255 classes"),
        ('{"map": {"1": "Hut"}}', "map, at '1', has 'Hut', which is no class of lip (Background, Hat,"),
        ('{"map": {"1": ["Hat"]}}', "which is no class of lip"),
        ('{"predictions": "atr", "map": {"Hat": "Hat", "1": "Hair"}}', "'Hat' twice, by its name and by its value"),
        ('{"map": []}', "map must be an object"),
        ('{"others": 3}', "others has 3, which is no class of lip"),
    ],
)
def test_wrong_tables_are_told_in_one_sentence(
    labels: Maps, score: Score, tmp_path: Path, table: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "maps/a.png", labels[0])
    (tmp_path / "table.json").write_text(table)
    assert score("--map", tmp_path / "table.json")[0] == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "table.json" in error


def test_maps_of_a_dataset_that_does_not_store_indices_are_read_as_they_were_written(
    score: Score, tmp_path: Path
) -> None:
    """ADE20K stores class k as k + 1, and so does --save-predictions; predict.py stores k."""
    ade = BUILT_IN["ade20k"]
    label = np.arange(150, dtype=np.uint8).reshape(10, 15)
    photograph = tmp_path / "ade/images/validation/x.jpg"
    photograph.parent.mkdir(parents=True)
    cv2.imwrite(str(photograph), np.zeros((10, 15, 3), np.uint8))
    write(tmp_path / "ade/annotations/validation/x.png", label + 1)
    save_to(str(tmp_path / "saved"), ade)(Sample("x", photograph, None), label)
    write(tmp_path / "results/masks/x.png", label)
    (tmp_path / "results/predictions.jsonl").touch()
    for folder in ("saved", "results", "results/masks"):
        assert score(folder=folder, data="ade")[1]["mean_iou"] == 100.0, folder


def test_pictures_of_the_maps(labels: Maps, score: Score, tmp_path: Path) -> None:
    write(tmp_path / "maps/a.png", np.full_like(labels[0], 7))
    assert score("--examples", tmp_path / "e.png", "--confusion-picture", tmp_path / "c.png")[0] == 1
    examples = np.asarray(Image.open(tmp_path / "e.png"))
    assert np.all(examples == BUILT_IN["lip"].palette[7], axis=2).mean() > 0.05
    assert (tmp_path / "c.png").is_file()


def test_pixels_without_a_class_are_part_of_their_class_in_the_confusion_picture() -> None:
    missed, mistaken = ConfusionMatrix(2), ConfusionMatrix(2)
    for confusion in (missed, mistaken):
        confusion.update(np.ones(30, np.uint8), np.ones(30, np.uint8))
    missed.miss(np.ones(30, np.uint8))
    mistaken.update(np.zeros(30, np.uint8), np.ones(30, np.uint8))
    pictures = [confusion_picture(confusion, ("Background", "Hat")) for confusion in (missed, mistaken)]
    right = [picture[-46:-12, -46:-12] for picture in pictures]  # the last cell: 50 % of the hat are found
    assert np.array_equal(right[0], right[1])


@pytest.mark.parametrize("option", ["--amp=bf16", "--no-mirror", "--save-predictions=x", "--scales=0.5,1"])
def test_options_of_networks_are_refused_where_there_is_none(
    labels: Maps, score: Score, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        score(option)
    assert "is for a network" in capsys.readouterr().err


def test_the_tables_in_the_documentation_name_every_class() -> None:
    folder = Path(__file__).parents[3] / "docs/maps"
    for file, dataset in (("atr_to_lip.json", BUILT_IN["lip"]), ("lip_to_ccp.json", CCP)):
        found = read_correspondence(folder / file, dataset)
        assert (found.table[: found.maps.num_classes] < dataset.num_classes).all(), file
