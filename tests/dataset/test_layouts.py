"""Which files of a folder belong to a split: lists of ids as people write them, subfolders, suffixes, hidden files."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset.check import main as check
from dataset.descriptions import BUILT_IN, list_samples, load_description
from dataset.layouts import DatasetError, list_split
from dataset.reading import read_sample
from utils.evaluation.cli import save_to

LIP = BUILT_IN["lip"]
Make = Callable[..., Path]


def ids(data_dir: Path, layout: str = "lip", split: str = "train") -> list[str]:
    return [sample.id for sample in list_split(data_dir, layout, split)]


def into_subfolder(data_dir: Path, name: str, subfolder: str = "a") -> None:
    for path in (data_dir / f"train_images/{name}.jpg", data_dir / f"train_segmentations/{name}.png"):
        (path.parent / subfolder).mkdir(parents=True, exist_ok=True)
        path.rename(path.parent / subfolder / path.name)


@pytest.mark.parametrize(
    "content",
    [
        "t3\nt1\n",
        "t3.jpg\nt1.jpg\n",
        "t3.JPG\nt1.png\n",
        "./t3.jpg\n./t1\n",
        "\ufefft3\r\nt1\r\n",
    ],
    ids=["plain", "with suffix", "with other suffixes", "relative", "byte order mark"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_lists_of_ids_as_people_write_them(make_dataset: Make, content: str, encoding: str) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text(content.lstrip("\ufeff") if encoding == "utf-16" else content, encoding)
    assert ids(data_dir) == ["t3", "t1"]


@pytest.mark.parametrize(
    "content", ["a/t1\nt2\nb/c/t3\n", "a/t1.jpg\nt2.jpg\nb/c/t3.jpg\n", "a\\t1\nt2\nb\\c\\t3.jpg\n"]
)
def test_ids_may_lie_in_subfolders(make_dataset: Make, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = make_dataset()
    into_subfolder(data_dir, "t1")
    into_subfolder(data_dir, "t3", "b/c")
    (data_dir / "train_id.txt").write_text(content)
    samples = list_samples(data_dir, LIP, "train")
    assert [sample.id for sample in samples] == ["a/t1", "t2", "b/c/t3"]
    assert samples[2].image_path == data_dir / "train_images/b/c/t3.jpg"
    assert samples[2].label_path == data_dir / "train_segmentations/b/c/t3.png"
    assert check(["--data-dir", str(data_dir)]) == 0, capsys.readouterr().out


def test_datasets_without_lists_have_subfolders_too(make_dataset: Make) -> None:
    data_dir = make_dataset("ade20k", values=(0, 151))
    for folder in ("images/training", "annotations/training"):
        (data_dir / folder / "abbey").mkdir()
        for file in (data_dir / folder).glob("t2.*"):
            file.rename(file.parent / "abbey" / file.name)
    assert ids(data_dir, "ade20k") == ["abbey/t2", "t1", "t3"]


def test_an_id_whose_name_ends_like_a_suffix_is_itself(make_dataset: Make) -> None:
    data_dir = make_dataset(train=("t1", "t1.jpg", "v1.5"))
    assert ids(data_dir) == ["t1", "t1.jpg", "v1.5"]


def test_an_id_with_and_without_suffix_is_listed_twice(make_dataset: Make) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text("t1\nt2\nt1.jpg\n")
    with pytest.raises(DatasetError, match=r"lists 1 of its ids more than once: t1 \(lines 1, 3\)"):
        ids(data_dir)


def test_ids_without_files_are_named_as_they_would_be_called(make_dataset: Make) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text("t1\nx/t9.jpg\nt8\n")
    with pytest.raises(DatasetError, match=r"lacks the photograph of 2 of 3 ids \(x/t9, t8\), which are paths inside"):
        ids(data_dir)


@pytest.mark.parametrize("suffix", [".jpeg", ".jpe", ".jfif", ".png", ".webp", ".PNG"])
@pytest.mark.parametrize("layout", ["lip", "ade20k"])
def test_photographs_of_other_formats(make_dataset: Make, layout: str, suffix: str) -> None:
    data_dir = make_dataset(layout, values=(1, 20))
    description = load_description(data_dir)
    for sample in list_samples(data_dir, description, "train"):
        pixels = cv2.imread(str(sample.image_path))
        assert pixels is not None
        _, encoded = cv2.imencode(suffix.lower().replace(".jfif", ".jpg"), pixels)
        sample.image_path.unlink()
        sample.image_path.with_suffix(suffix).write_bytes(encoded.tobytes())
    samples = list_samples(data_dir, description, "train")
    assert [sample.image_path.suffix for sample in samples] == [suffix] * 3
    image, label = read_sample(samples[0], description)
    assert image.shape[:2] == label.shape == (40, 30)


@pytest.mark.parametrize(("layout", "values"), [("lip", (0, 20)), ("ade20k", (0, 151))])
def test_hidden_files_are_no_samples(
    make_dataset: Make, layout: str, values: tuple[int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    """What macOS, Synology and image viewers leave beside pictures, in datasets with and without id lists."""
    data_dir = make_dataset(layout, values=values)
    expected = ids(data_dir, layout)
    for folder in [path for path in data_dir.rglob("*") if path.is_dir()]:
        for name in ("._t1.jpg", "._t1.png", ".DS_Store", ".t2.jpg", ".thumbnails/t1.jpg"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"no picture")
    assert ids(data_dir, layout) == expected
    assert check(["--data-dir", str(data_dir)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_description_may_begin_with_a_byte_order_mark(make_dataset: Make, encoding: str) -> None:
    data_dir = make_dataset(values=(0, 2))
    values = {"name": "mine", "classes": ["no", "yes"], "flip_pairs": [], "ignore_label": 255}
    (data_dir / "dataset.json").write_text(json.dumps(values), encoding)
    assert load_description(data_dir).class_names == ("no", "yes")


def test_predictions_are_saved_in_subfolders_too(make_dataset: Make, tmp_path: Path) -> None:
    data_dir = make_dataset()
    into_subfolder(data_dir, "t2")
    (data_dir / "train_id.txt").write_text("a/t2\n")
    (sample,) = list_samples(data_dir, LIP, "train")
    save_to(str(tmp_path / "out"), LIP)(sample, np.zeros((40, 30), np.uint8))
    assert (tmp_path / "out/a/t2.png").is_file()
