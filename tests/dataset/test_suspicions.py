"""Bad datasets whose every file can be read: what is said about them, by `dataset.check` and before a training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import train
from dataset import content
from dataset.check import main
from dataset.content import SampleFindings, SplitContent, look_at
from dataset.descriptions import BUILT_IN, DatasetDescription, list_samples
from dataset.layouts import DatasetError, Sample
from dataset.suspicions import look_before_training, suspicions
from tests.support.tiny_network import TinyNetwork

LIP = BUILT_IN["lip"]
TRAIN, VAL = [f"t{i:02}" for i in range(12)], [f"v{i:02}" for i in range(6)]

Change = Callable[[NDArray[np.uint8]], NDArray[np.generic]]


@pytest.fixture
def data_dir(make_dataset: Callable[..., Path]) -> Path:
    return make_dataset(train=TRAIN, val=VAL, size=(20, 16))


def rewrite(data_dir: Path, change: Change, *, split: str = "*", count: int | None = None) -> None:
    for path in sorted(data_dir.glob(f"{split}_segmentations/*.png"))[:count]:
        with Image.open(path) as picture:
            values = np.array(picture)
        Image.fromarray(change(values).astype(np.uint8)).save(path)


def warnings_of(data_dir: Path, tmp_path: Path) -> list[dict[str, str]]:
    report = tmp_path / "report.json"
    assert main(["--data-dir", str(data_dir), "--report", str(report)]) == 0, "warnings are no problems"
    return list(json.loads(report.read_text())["warnings"])


@pytest.mark.parametrize(
    ("change", "where", "kind", "split", "message"),
    [
        (lambda v: 0 * v + 255, {"split": "train"}, "all ignored", "train", "every pixel of the 12 labels is ignored"),
        (lambda v: 0 * v + 255, {"split": "val"}, "all ignored", "val", "every pixel of the 6 labels is ignored"),
        (
            lambda v: 0 * v + 255,
            {"split": "train", "count": 2},
            "all ignored",
            "train",
            "2 of the 12 labels, such as {}/train_segmentations/t00.png, are ignored whole",
        ),
        (
            lambda v: np.where(v > 9, 255, 0),
            {"count": 2},
            "masks of 0 and 255",
            "train",
            "2 of the 12 labels, such as {}/train_segmentations/t00.png, hold nothing but Background (0) and ignored "
            "pixels (255): were masks saved as 0 and 255?",
        ),
        (
            lambda v: np.where(v > 9, 255, 0),
            {"split": "train"},
            "no pixel",
            "train",
            "no pixel of 19 of the 20 classes (Hat, Hair, Glove, Sunglasses, Upper-clothes, Dress, Coat, Socks and 11 "
            "more) in the 12 labels; they cannot be learned",
        ),
        (
            lambda v: np.where(v == 11, 0, v),
            {"split": "train"},
            "no pixel",
            "train",
            "no pixel of Scarf in the 12 labels; it cannot be learned",
        ),
        (
            lambda v: np.where(v == 0, 5, 0),
            {"split": "val"},
            "different shares",
            "train, val",
            "% of the val pixels",
        ),
    ],
)
def test_labels_that_cannot_be_meant_are_warned_of(
    data_dir: Path, tmp_path: Path, change: Change, where: dict[str, Any], kind: str, split: str, message: str
) -> None:
    rewrite(data_dir, change, **where)
    (found,) = [
        warning for warning in warnings_of(data_dir, tmp_path) if (warning["kind"], warning["split"]) == (kind, split)
    ]
    assert message.format(data_dir) in found["message"]


def test_nothing_is_said_of_a_sound_dataset(data_dir: Path, tmp_path: Path) -> None:
    rewrite(data_dir, lambda v: np.where(v == 3, 255, v))  # ignored pixels are not suspicious; this class is gone
    rewrite(data_dir, lambda v: np.where(v == 4, 3, v), split="train", count=1)
    assert warnings_of(data_dir, tmp_path) == []


def test_a_class_may_be_missing_in_the_validation_labels(data_dir: Path, tmp_path: Path) -> None:
    rewrite(data_dir, lambda v: np.where(v == 11, 0, v), split="val")
    assert "no pixel" not in [warning["kind"] for warning in warnings_of(data_dir, tmp_path)]


def test_photographs_that_viewers_turn_are_warned_of(data_dir: Path, tmp_path: Path) -> None:
    for name, orientation in (("t03", 1), ("t04", 3), ("t05", 2)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (16, 20)).save(data_dir / f"train_images/{name}.jpg", exif=exif)
    (found,) = warnings_of(data_dir, tmp_path)
    assert found["message"].startswith(
        f"2 of the 12 photographs, such as {data_dir}/train_images/t04.jpg (orientation 3), are turned by viewers"
    )


def paint(path: Path, values: Any, palette: list[tuple[int, int, int]]) -> None:
    picture = Image.fromarray(np.array(values, np.uint8))
    picture.putpalette([channel for colour in palette for channel in colour])
    picture.save(path)


def test_one_label_with_a_reordered_palette_is_found(data_dir: Path, tmp_path: Path) -> None:
    palette = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    for path in data_dir.glob("*_segmentations/*.png"):
        paint(path, np.arange(20 * 16).reshape(20, 16) % 4, palette)
    assert [warning["kind"] for warning in warnings_of(data_dir, tmp_path)] == ["no pixel"]
    # As an image program does it: only the colours in use, in another order.
    resaved = data_dir / "val_segmentations/v03.png"
    with Image.open(resaved) as picture:
        picture.convert("RGB").quantize(4, dither=Image.Dither.NONE).save(resaved)
    (found,) = [warning for warning in warnings_of(data_dir, tmp_path) if warning["kind"] == "re-ordered palette"]
    assert f"in {data_dir}/train_segmentations/t00.png, but as" in found["message"]
    assert f"in {resaved}: a program has re-ordered palettes" in found["message"]


def test_unused_colours_and_colours_that_a_palette_repeats_say_nothing(data_dir: Path, tmp_path: Path) -> None:
    black, red, blue = (0, 0, 0), (255, 0, 0), (0, 0, 255)
    for path in data_dir.glob("*_segmentations/*.png"):
        paint(path, np.arange(20 * 16).reshape(20, 16) % 3, [black, red, black, blue])
    paint(data_dir / "val_segmentations/v00.png", np.arange(20 * 16).reshape(20, 16) % 2, [black, red, blue, red])
    assert "re-ordered palette" not in [warning["kind"] for warning in warnings_of(data_dir, tmp_path)]


def counted(shares: NDArray[np.float64]) -> SplitContent:
    """What a split of labels of 10,000 pixels with these shares, (N, K), holds."""
    split = SplitContent(shares.shape[1], len(shares))
    for row in shares:
        pixels = np.zeros(256, np.int64)
        pixels[: len(row)] = np.round(10_000 * row)
        split.add(SampleFindings(Sample("a", Path("a.jpg"), Path("a.png")), pixels=pixels))
    return split


def people_like(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Shares as in people: much background, some common and some rare classes, each there or not."""
    often = np.array([1.0, 0.9, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05])
    amounts = rng.gamma(2, [3.0, 0.5, 0.5, 0.3, 0.3, 0.2, 0.05, 0.02], (count, 8)) * (rng.random((count, 8)) < often)
    return amounts / amounts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sizes", [(6, 4), (20, 10), (200, 20)])
def test_parts_of_one_dataset_do_not_differ_and_reindexed_ones_do(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    description = DatasetDescription(name="mine", class_names=tuple("abcdefgh"))
    false, missed = 0, 0
    for _ in range(40):
        train_shares, val_shares = people_like(rng, sizes[0]), people_like(rng, sizes[1])
        by_size = -np.sort(-np.roll(val_shares, 1, axis=1), axis=1)[:, ::-1]  # the largest class gets the last index
        kinds = [
            [problem.kind for problem in suspicions({"train": counted(train_shares), "val": counted(val)}, description)]
            for val in (val_shares, by_size)
        ]
        false += "different shares" in kinds[0]
        missed += "different shares" not in kinds[1]
    assert false <= 1
    assert missed == 0


def test_a_part_of_a_large_split_is_looked_at_the_same_one_always(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "LABELS_LOOKED_AT", 5)
    samples = list_samples(data_dir, LIP, "train")
    first, second = (look_at(samples, LIP, workers=workers) for workers in (1, 3))
    assert (first.looked_at, first.samples, first.label_maps) == (5, 12, 5)
    assert (first.pixels == second.pixels).all()
    rewrite(data_dir, lambda v: np.where(v == 11, 0, v))
    lines = list(look_before_training({"train": samples, "val": list_samples(data_dir, LIP, "val")}, LIP, workers=1))
    assert lines[0].startswith("Looked at 5 of 12 train and 5 of 6 val labels in ")
    assert lines[1] == (
        "warning: train: no pixel of Scarf in the 5 of 12 labels looked at; rare, or missing: "
        "`python -m dataset.check` reads all"
    )


def test_a_look_ends_in_time(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SECONDS_TO_LOOK", -1.0)
    assert look_at(list_samples(data_dir, LIP, "train"), LIP, workers=1).looked_at == 1


def test_a_training_says_what_is_suspicious_before_it_starts(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny: Any = TinyNetwork
    rewrite(data_dir, lambda v: np.where(v > 9, 255, 0))
    arguments = ["--data-dir", str(data_dir), "--snapshot-dir", str(tmp_path / "run"), "--input-size", "65,65"]
    arguments += ["--batch-size", "12", "--epochs", "1", "--num-workers", "0", "--device", "cpu"]
    assert train.main(arguments, build_network=tiny) == 0
    out = capsys.readouterr().out
    looked, warned = (
        out.index(text) for text in ("\nLooked at all 12 train and all 6 val", "\nwarning: train: 12 of the 12")
    )
    assert looked < warned < out.index("\nepoch 1: mIoU")
    (data_dir / "train_segmentations/t07.png").write_bytes(b"broken")
    assert train.main(arguments, build_network=tiny) == 2
    assert "t07.png: cannot be read as a label PNG" in capsys.readouterr().err


def test_a_look_ends_at_a_label_that_cannot_be_used(data_dir: Path) -> None:
    rewrite(data_dir, lambda v: v + 1, split="val", count=1)
    samples = list_samples(data_dir, LIP, "val")
    with pytest.raises(DatasetError, match=r"v00\.png: the values 20 are no labels of lip"):
        look_at(samples, LIP, workers=2)
