"""A dataset with its classes merged: `python -m dataset.relabel`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.check import main as check
from dataset.descriptions import BUILT_IN, list_samples, load_description
from dataset.reading import read_sample
from dataset.relabel import main

ATR = BUILT_IN["atr"]
NEW: dict[str, Any] = {
    "name": "four",
    "classes": ["Background", "Hair", "Skin", "Clothes"],
    "flip_pairs": [],
    "ignore_label": 255,
    "map": {"Face": "Skin", "12": "Skin", "Right-leg": "Skin", "Bag": "Background", "Sunglasses": None},
    "others": "Clothes",
}


def test_classes_are_merged_renamed_and_left_out(
    make_dataset: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset("voc", root="ATR", values=(0, 18), train=("t1", "t2"))
    table, output = tmp_path / "four.json", tmp_path / "new"
    table.write_text(json.dumps(NEW))
    assert main(["--data-dir", str(data_dir), "--classes", str(table), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "Skin: Face, Left-leg, Right-leg\n" in printed
    assert "not labelled: Sunglasses\n" in printed
    assert "2 train photographs, 2 val photographs" in printed
    new = load_description(output)
    assert (new.name, new.layout, new.class_names) == ("four", "lip", ("Background", "Hair", "Skin", "Clothes"))
    kept = {"Background": 0, "Bag": 0, "Hair": 1, "Face": 2, "Left-leg": 2, "Right-leg": 2, "Sunglasses": 255}
    expected = np.array([kept.get(name, 3) for name in ATR.class_names], np.uint8)
    for split in ("train", "val"):
        before = list_samples(data_dir, load_description(data_dir), split)
        after = list_samples(output, new, split)
        assert [sample.id for sample in after] == [sample.id for sample in before]
        for one, other in zip(before, after, strict=True):
            (image, label), (same_image, merged) = read_sample(one, ATR), read_sample(other, new)
            assert np.array_equal(image, same_image)
            assert np.array_equal(merged, expected[label])
    assert check(["--data-dir", str(output)]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"map": {"Glove": "Skin"}}, "'Glove', which is none of the 18 classes of atr"),
        ({"map": {"9" * 5000: "Skin"}}, "which is none of the 18 classes of atr"),
        ({"map": {"Face": "Skn"}}, "has 'Skn', which is no class of four"),
        ({"others": None, "map": {}}, "no class of atr becomes Skin, Clothes; complete the map"),
        ({"classes": ["Background"]}, "classes must name 2 to 254 classes"),
        ({"layout": "voc"}, "leave its layout out"),
    ],
)
def test_wrong_tables_are_told_in_one_sentence_and_nothing_is_written(
    make_dataset: Callable[..., Path],
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_dir = make_dataset("voc", root="ATR", values=(0, 18))
    table = tmp_path / "four.json"
    table.write_text(json.dumps(NEW | changes))
    assert main(["--data-dir", str(data_dir), "--classes", str(table), "--output", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_is_not_written_to(
    make_dataset: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset("voc", root="ATR", values=(0, 18))
    (tmp_path / "four.json").write_text(json.dumps(NEW))
    arguments = ["--data-dir", str(data_dir), "--classes", str(tmp_path / "four.json"), "--output", str(data_dir)]
    assert main(arguments) == 2
    assert "is not an empty folder; name a new one" in capsys.readouterr().err
