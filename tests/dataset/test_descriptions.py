"""Descriptions of datasets, and the samples that a folder holds."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.descriptions import BUILT_IN, DatasetDescription, DatasetError, list_samples, load_description

OWN = {
    "name": "mine",
    "classes": ["Background", "Left-wing", "Right-wing"],
    "flip_pairs": [[1, 2]],
    "ignore_label": 255,
}


@pytest.mark.parametrize(
    ("name", "count", "known"),
    [
        ("lip", 20, {0: "Background", 3: "Glove", 10: "Jumpsuits", 13: "Face", 19: "Right-shoe"}),
        ("cihp", 20, {0: "Background", 10: "Torso-skin", 11: "Scarf", 19: "Right-shoe"}),
        ("atr", 18, {0: "Background", 5: "Skirt", 8: "Belt", 11: "Face", 17: "Scarf"}),
        ("pascal_person_part", 7, {0: "Background", 2: "Torso", 6: "Lower-legs"}),
        ("ade20k", 150, {0: "wall", 12: "person", 44: "chest of drawers", 81: "towel", 82: "light", 149: "flag"}),
    ],
)
def test_built_in_classes(name: str, count: int, known: dict[int, str]) -> None:
    description = BUILT_IN[name]
    assert description.num_classes == count
    assert len(set(description.class_names)) == count
    assert {index: description.class_names[index] for index in known} == known


@pytest.mark.parametrize(("name", "pairs"), [("lip", 3), ("cihp", 3), ("atr", 3), ("pascal_person_part", 0)])
def test_built_in_pairs_are_left_and_right_of_one_part(name: str, pairs: int) -> None:
    description = BUILT_IN[name]
    assert len(description.flip_pairs) == pairs
    for left, right in description.flip_pairs:
        part = description.class_names[left].removeprefix("Left-")
        assert description.class_names[left] == f"Left-{part}"
        assert description.class_names[right] == f"Right-{part}"


def test_ade20k_stores_classes_from_one_and_ignore_as_zero() -> None:
    table = BUILT_IN["ade20k"].stored_to_class()
    assert table[:3].tolist() == [255, 0, 1]
    assert table[150] == 149
    assert set(table[151:].tolist()) == {-1}
    assert not BUILT_IN["ade20k"].has_background


def test_lip_stores_classes_as_they_are() -> None:
    table = BUILT_IN["lip"].stored_to_class()
    assert table[:20].tolist() == list(range(20))
    assert set(table[20:255].tolist()) == {-1}
    assert table[255] == 255


@pytest.mark.parametrize("name", BUILT_IN)
def test_storing_and_reading_are_inverse(name: str) -> None:
    description = BUILT_IN[name]
    classes = np.r_[: description.num_classes, 255]
    assert description.stored_to_class()[description.class_to_stored()[classes]].tolist() == classes.tolist()


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_description_survives_json(name: str) -> None:
    description = BUILT_IN[name]
    assert DatasetDescription.from_dict(json.loads(json.dumps(description.to_dict()))) == description


@pytest.mark.parametrize("layout", ["lip", "cihp", "ade20k"])
def test_the_layout_tells_the_dataset(make_dataset: Callable[..., Path], layout: str) -> None:
    assert load_description(make_dataset(layout)) == BUILT_IN[layout]


def test_lip_may_lie_under_images_labels(make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    make_dataset(root="data/images_labels")
    data_dir = tmp_path / "data"
    description = load_description(data_dir)
    assert description.name == "lip"
    assert list_samples(data_dir, description, "val")[0].image_path == data_dir / "images_labels/val_images/v1.jpg"


def test_a_name_chooses_between_datasets_of_one_layout(make_dataset: Callable[..., Path]) -> None:
    assert load_description(make_dataset("lip"), "atr") == BUILT_IN["atr"]


def test_a_folder_with_several_layouts_needs_a_name(make_dataset: Callable[..., Path]) -> None:
    make_dataset("lip")
    data_dir = make_dataset("cihp")
    with pytest.raises(DatasetError, match=r"several layouts \(lip, cihp\).*--dataset"):
        load_description(data_dir)
    assert load_description(data_dir, "cihp").name == "cihp"


@pytest.mark.parametrize("name", [None, "mine"])
def test_a_folder_may_describe_itself(tmp_path: Path, name: str | None) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(OWN))
    description = load_description(tmp_path, name)
    assert description == DatasetDescription(
        name="mine", class_names=("Background", "Left-wing", "Right-wing"), flip_pairs=((1, 2),)
    )


def test_another_name_than_the_folders_own_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(OWN))
    with pytest.raises(DatasetError, match="says this dataset is 'mine', not 'lip'"):
        load_description(tmp_path, "lip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": "abc"}, "classes must be a list"),
        ({"classes": ["Background", 1]}, "classes must be a list"),
        ({"classes": ["Background"], "flip_pairs": []}, "2 to 254 classes, not 1"),
        ({"classes": [f"c{i}" for i in range(255)]}, "2 to 254 classes, not 255"),
        ({"classes": ["a", "b", "a"]}, "more than once: a"),
        ({"flip_pairs": {}}, "flip_pairs must be a list"),
        ({"flip_pairs": [[1, 3]]}, r"flip_pairs has \[1, 3\]: a pair is two class labels 0 .. 2"),
        ({"flip_pairs": [[1]]}, r"flip_pairs has \[1\]"),
        ({"flip_pairs": [[1, True]]}, r"flip_pairs has \[1, True\]"),
        ({"flip_pairs": [[-1, 2]]}, r"flip_pairs has \[-1, 2\]"),
        ({"flip_pairs": [[1, 2], [0, 1]]}, r"the labels \[1\] more than once"),
        ({"flip_pairs": [[1, 1]]}, r"the labels \[1\] more than once"),
        ({"ignore_label": "255"}, "ignore_label must be a whole number 0 .. 255, not '255'"),
        ({"ignore_label": 256}, "ignore_label must be a whole number 0 .. 255, not 256"),
        ({"ignore_label": 2}, "ignore_label 2 is also the label of the class 'Right-wing'"),
        ({"first_label": 1, "ignore_label": 1}, "ignore_label 1 is also the label of the class 'Background'"),
        ({"first_label": 254}, "first_label is 254"),
        ({"layout": "coco"}, "layout must be one of lip, cihp, ade20k, voc, voc_parts, not 'coco'"),
        ({"layout": ["lip"]}, "layout must be one of lip, cihp, ade20k, voc, voc_parts, not"),
        ({"has_background": 1}, "has_background must be true or false"),
        ({"colours": [[0, 0, 0], [1, 1, 1]]}, "colours must be a list of 3 colours, one for each class"),
        ({"colours": "red"}, "colours must be a list of 3 colours"),
        ({"colours": [[0, 0, 0], [1, 2, 256], [3, 3, 3]]}, r"colours has \[1, 2, 256\] for 'Left-wing': a colour is"),
        ({"colours": [[0, 0, 0], [1, 2, 3], "#030303"]}, "colours has '#030303' for 'Right-wing'"),
        ({"colours": [[0, 0, 0], [1, 2, 3], [1, 2, 0.5]]}, r"colours has \[1, 2, 0.5\] for 'Right-wing'"),
    ],
)
def test_impossible_descriptions_are_errors(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps(OWN | change))
    with pytest.raises(DatasetError, match=message) as error:
        load_description(tmp_path)
    assert str(error.value).startswith(str(file))


def test_a_dataset_brings_its_own_colours(tmp_path: Path) -> None:
    colours = [[0, 0, 0], [10, 20, 30], [255, 255, 255]]
    (tmp_path / "dataset.json").write_text(json.dumps(OWN | {"colours": colours}))
    description = load_description(tmp_path)
    assert description.palette[:3].tolist() == colours
    assert description.palette[[3, 255]].tolist() == [[128, 128, 0], [224, 224, 192]], "the rest is PASCAL VOC's"
    assert DatasetDescription.from_dict(json.loads(json.dumps(description.to_dict()))) == description


@pytest.mark.parametrize("classes", [BUILT_IN["lip"].class_names, BUILT_IN["cihp"].class_names])
def test_classes_of_lip_have_its_colours_whatever_the_dataset_is_called(classes: tuple[str, ...]) -> None:
    """The drawn people are such a dataset, and so are snapshots trained on one."""
    description = DatasetDescription(name="mine", class_names=classes)
    assert (description.palette == BUILT_IN["lip"].palette).all()
    assert description.palette[[1, 19, 20]].tolist() == [[128, 0, 0], [255, 170, 0], [0, 64, 128]]


def test_what_is_nothing_and_what_is_something() -> None:
    lip, stuff = BUILT_IN["lip"], BUILT_IN["ade20k"]
    assert (lip.background, lip.foreground) == (0, tuple(range(1, 20)))
    assert (stuff.background, stuff.foreground) == (255, tuple(range(150)))


def test_left_and_right_change_places_in_a_mirror() -> None:
    table = BUILT_IN["atr"].mirror_table()
    assert table[[8, 9, 10, 11, 12, 13, 14, 15, 255]].tolist() == [8, 10, 9, 11, 13, 12, 15, 14, 255]
    assert table.dtype == np.uint8


@pytest.mark.parametrize("key", OWN)
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(DatasetError, match=f"lacks {key}"):
        DatasetDescription.from_dict({other: value for other, value in OWN.items() if other != key})


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cannot be read as JSON"), ("[]", "must hold a JSON object with name, classes, .*, not ")],
)
def test_a_file_that_is_no_description_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=rf"dataset\.json: {message}"):
        load_description(tmp_path)


@pytest.mark.parametrize("name", [None, "lip"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("dangling", r"is a link to .*nowhere\.json, which does not exist;"),
        ("loop", "is a link to dataset.json, which does not exist;"),
        ("folder", "is a folder;"),
        ("link to a folder", "is a folder;"),
        ("pipe", "is no regular file;"),
    ],
)
def test_a_description_that_is_no_file_is_an_error(
    make_dataset: Callable[..., Path], kind: str, message: str, name: str | None
) -> None:
    """Such a folder was once taken for LIP."""
    data_dir = make_dataset()
    file = data_dir / "dataset.json"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        targets = {"dangling": data_dir / "nowhere.json", "loop": Path("dataset.json"), "link to a folder": data_dir}
        file.symlink_to(targets[kind])
    with pytest.raises(DatasetError, match=message) as error:
        load_description(data_dir, name)
    assert str(error.value).startswith(str(file))


def test_a_description_may_lie_beside_the_folders_under_images_labels(
    make_dataset: Callable[..., Path], tmp_path: Path
) -> None:
    nested = make_dataset(root="data/images_labels")
    (nested / "dataset.json").write_text(json.dumps(OWN))
    assert load_description(tmp_path / "data").name == "mine"
    (tmp_path / "data/dataset.json").write_text(json.dumps(OWN | {"name": "outer"}))
    assert load_description(tmp_path / "data").name == "outer"


@pytest.mark.parametrize(
    ("layout", "image", "label"),
    [
        ("lip", "train_images/t1.jpg", "train_segmentations/t1.png"),
        ("cihp", "Training/Images/t1.jpg", "Training/Category_ids/t1.png"),
        ("ade20k", "images/training/t1.jpg", "annotations/training/t1.png"),
    ],
)
def test_samples_of_each_layout(make_dataset: Callable[..., Path], layout: str, image: str, label: str) -> None:
    data_dir = make_dataset(layout, train=("t1", "t2"))
    first, second = list_samples(data_dir, BUILT_IN[layout], "train")
    assert first == ("t1", data_dir / image, data_dir / label, None)
    assert second.id == "t2"
    assert [sample.id for sample in list_samples(data_dir, BUILT_IN[layout], "val")] == ["v1", "v2"]


def test_samples_come_in_the_order_of_the_list(make_dataset: Callable[..., Path]) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text("t3\r\n\n  t1 \n\n")
    assert [sample.id for sample in list_samples(data_dir, BUILT_IN["lip"], "train")] == ["t3", "t1"]


def test_photographs_may_have_other_suffixes(make_dataset: Callable[..., Path]) -> None:
    data_dir = make_dataset()
    images = data_dir / "train_images"
    (images / "t1.jpg").rename(images / "t1.jpeg")
    (images / "t2.jpg").rename(images / "t2.PNG")
    (images / "t3.png").touch()  # beside t3.jpg, which is preferred
    names = [sample.image_path.name for sample in list_samples(data_dir, BUILT_IN["lip"], "train")]
    assert names == ["t1.jpeg", "t2.PNG", "t3.jpg"]


def test_samples_without_labels(make_dataset: Callable[..., Path]) -> None:
    data_dir = make_dataset()
    for file in (data_dir / "val_segmentations").iterdir():
        file.unlink()
    (data_dir / "val_segmentations").rmdir()
    samples = list_samples(data_dir, BUILT_IN["lip"], "val", labelled=False)
    assert [(sample.id, sample.label_path) for sample in samples] == [("v1", None), ("v2", None)]
    with pytest.raises(DatasetError, match=r"val_segmentations: no such folder.*\n.*val_id\.txt"):
        list_samples(data_dir, BUILT_IN["lip"], "val")


def test_a_missing_or_empty_list_is_an_error(make_dataset: Callable[..., Path]) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text("\n \n")
    with pytest.raises(DatasetError, match=r"train_id\.txt is empty: the train split has no photographs"):
        list_samples(data_dir, BUILT_IN["lip"], "train")
    (data_dir / "train_id.txt").unlink()
    with pytest.raises(DatasetError, match=r"train_id\.txt: cannot be read \(No such file"):
        list_samples(data_dir, BUILT_IN["lip"], "train")


@pytest.mark.parametrize("labelled", [True, False])
def test_an_id_listed_more_than_once_is_an_error(make_dataset: Callable[..., Path], labelled: bool) -> None:
    data_dir = make_dataset()
    (data_dir / "train_id.txt").write_text("t2\nt1\n\n t2\nt3\nt1 \r\nt2\n")
    with pytest.raises(DatasetError) as error:
        list_samples(data_dir, BUILT_IN["lip"], "train", labelled=labelled)
    message = f"{data_dir / 'train_id.txt'} lists 2 of its ids more than once: t2 (lines 1, 4, 7), t1 (lines 2, 6);"
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("train_images/t2.jpg", "train_images lacks the photograph of 1 of 3 ids (t2)"),
        ("train_segmentations/t2.png", "train_segmentations lacks the label map of 1 of 3 ids (t2)"),
    ],
)
def test_a_listed_id_without_its_file_is_an_error(make_dataset: Callable[..., Path], file: str, message: str) -> None:
    data_dir = make_dataset()
    (data_dir / file).unlink()
    with pytest.raises(DatasetError) as error:
        list_samples(data_dir, BUILT_IN["lip"], "train")
    assert message in str(error.value)


def test_an_unknown_split_is_an_error(make_dataset: Callable[..., Path]) -> None:
    with pytest.raises(DatasetError, match="no split 'test': the splits are train and val"):
        list_samples(make_dataset(), BUILT_IN["lip"], "test")
