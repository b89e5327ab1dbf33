"""ATR, Pascal-Person-Part and CIHP in the folders that they are distributed in."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset.check import main as check
from dataset.descriptions import list_samples, load_description
from dataset.layouts import DatasetError
from dataset.reading import read_people

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("root", "layouts", "name", "layout"),
    [
        ("ATR", ["voc"], "atr", "voc"),
        ("sets/humanparsing", ["voc"], "atr", "voc"),
        ("my-atr-2", ["voc"], "atr", "voc"),
        ("Pascal", ["voc"], "pascal_person_part", "voc"),
        ("anything", ["voc_parts"], "pascal_person_part", "voc_parts"),
        ("anything", ["voc", "voc_parts"], "pascal_person_part", "voc_parts"),
        ("pascal_person_part", ["voc", "voc_parts"], "pascal_person_part", "voc_parts"),
    ],
)
def test_the_folders_or_their_name_tell_atr_from_pascal_person_part(
    make_dataset: Make, root: str, layouts: list[str], name: str, layout: str
) -> None:
    for shape in layouts:
        data_dir = make_dataset(shape, root=root, values=(0, 7))
    description = load_description(data_dir)
    assert (description.name, description.layout) == (name, layout)
    labels = {"voc": "SegmentationClassAug", "voc_parts": "SegmentationPart"}[layout]
    samples = list_samples(data_dir, description, "val")
    assert samples[0][:3] == ("v1", data_dir / "JPEGImages/v1.jpg", data_dir / labels / "v1.png")


@pytest.mark.parametrize(
    ("root", "layout"), [("data", "voc"), ("theatre", "voc"), ("atr_and_pascal", "voc"), ("ATR", "voc_parts")]
)
def test_where_nothing_tells_them_apart_the_sentence_says_what_to_type(
    make_dataset: Make, root: str, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset(layout, root=root, values=(0, 7))
    with pytest.raises(DatasetError, match=r"with --dataset atr or --dataset pascal_person_part$"):
        load_description(data_dir)
    assert load_description(data_dir, "pascal_person_part").layout == layout
    assert check(["--data-dir", str(data_dir)]) == 2
    assert check(["--data-dir", str(data_dir), "--dataset", "pascal_person_part"]) == 0, capsys.readouterr().out


def test_a_named_dataset_has_the_layout_of_the_folder(make_dataset: Make) -> None:
    assert load_description(make_dataset("voc"), "atr").layout == "voc"
    assert load_description(make_dataset("lip", root="other"), "atr").layout == "lip"
    own = {"name": "own", "classes": ["a", "b"], "flip_pairs": [], "ignore_label": 255, "layout": "voc"}
    data_dir = make_dataset("voc", root="own", values=(0, 2))
    (data_dir / "dataset.json").write_text(json.dumps(own))
    assert [sample.id for sample in list_samples(data_dir, load_description(data_dir), "val")] == ["v1", "v2"]


def test_files_of_the_other_split_and_of_none_are_not_missed_or_reported(
    make_dataset: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset("voc", root="ATR", values=(0, 18), train=("a", "b", "unused"))
    (data_dir / "list/train_id.txt").write_text("a\nb\n")
    assert check(["--data-dir", str(data_dir)]) == 0, capsys.readouterr().out
    (data_dir / "SegmentationClassAug/v1.png").unlink()
    (data_dir / "list/train_id.txt").write_text("a\nb\nv1\n")
    assert check(["--data-dir", str(data_dir)]) == 1
    output = capsys.readouterr().out
    assert "has no label map of v1" in output
    assert "v1 is a photograph of both splits" in output


def test_a_split_without_its_list_is_not_there(make_dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = make_dataset("voc", root="ATR", values=(0, 18))
    (data_dir / "list/val_id.txt").unlink()
    assert check(["--data-dir", str(data_dir)]) == 0, capsys.readouterr().out
    with pytest.raises(DatasetError, match=r"val_id\.txt: cannot be read"):
        list_samples(data_dir, load_description(data_dir), "val")


def test_person_maps_of_cihp_are_found_where_they_are(make_dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = make_dataset("cihp")
    description = load_description(data_dir)
    assert all(read_people(sample) is None for sample in list_samples(data_dir, description, "train"))
    people = np.random.default_rng(1).integers(0, 4, (40, 30), np.uint8)
    folder = data_dir / "Training/Human_ids"
    folder.mkdir()
    for name in ("t1", "t2", "t3"):
        cv2.imwrite(str(folder / f"{name}.png"), people)
    first, *_ = list_samples(data_dir, description, "train")
    assert first.people_path == folder / "t1.png"
    found = read_people(first)
    assert found is not None
    assert np.array_equal(found, people)
    assert list_samples(data_dir, description, "val")[0].people_path is None
    assert check(["--data-dir", str(data_dir)]) == 0, capsys.readouterr().out


def test_the_check_looks_at_person_maps(make_dataset: Make, capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = make_dataset("cihp")
    folder = data_dir / "Validation/Human_ids"
    folder.mkdir()
    cv2.imwrite(str(folder / "v1.png"), np.zeros((30, 40), np.uint8))
    assert check(["--data-dir", str(data_dir)]) == 1
    output = capsys.readouterr().out
    assert "v1.jpg is 30 x 40 pixels, but" in output
    assert "Validation/Human_ids/v1.png 40 x 30; they must have one size" in output
    assert "there is no person map of v2, which" in output
    (folder / "v2.png").write_bytes(b"no PNG")
    assert check(["--data-dir", str(data_dir)]) == 1
    assert "v2.png: cannot be read as a label PNG" in capsys.readouterr().out
