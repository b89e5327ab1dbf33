"""The drawn people: deterministic, all classes, left and right as posed, written as a LIP-like set."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset.descriptions import BUILT_IN, list_samples, load_description
from dataset.people import draw, draw_item, draw_person, make_dataset
from dataset.people_person import Person, sample_person
from dataset.reading import read_image, read_label

ROOT = Path(__file__).resolve().parents[2]
LIP = BUILT_IN["lip"]
COUNT = 80
SIZE = (96, 64)
Drawn = list[tuple[Person, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def people() -> Drawn:
    drawn = []
    for seed in range(COUNT):
        rng = np.random.default_rng(seed)
        person = sample_person(rng)
        drawn.append((person, *draw(rng, person, SIZE)))
    return drawn


def test_picture_and_label_have_the_size_asked_for() -> None:
    for size in ((192, 128), (75, 101), (300, 225), (33, 32)):
        image, label = draw_person(3, size)
        assert image.shape == (*size, 3)
        assert label.shape == size
        assert image.dtype == label.dtype == np.uint8


def test_same_seed_gives_same_bytes_and_another_seed_another_person() -> None:
    first, again, other = draw_person(5, SIZE), draw_person(5, SIZE), draw_person(6, SIZE)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_drawing_by_seed_is_sampling_then_drawing(people: Drawn) -> None:
    image, label = draw_person(7, SIZE)
    assert np.array_equal(image, people[7][1])
    assert np.array_equal(label, people[7][2])


def test_every_class_is_frequent_and_nothing_else_occurs(people: Drawn) -> None:
    present = np.zeros(LIP.num_classes)
    for _, _, label in people:
        assert label.max() < LIP.num_classes
        present += np.bincount(label.ravel(), minlength=LIP.num_classes) > 0
    rare = {LIP.class_names[k]: int(present[k]) for k in np.flatnonzero(present < 0.12 * COUNT)}
    assert not rare
    assert present[0] == COUNT


def test_people_fill_a_fair_part_of_the_picture(people: Drawn) -> None:
    person_share = np.array([(label > 0).mean() for _, _, label in people])
    assert 0.2 < person_share.mean() < 0.5
    assert person_share.min() > 0.02


def _sides_seen(people: Drawn, facing: str) -> list[bool]:
    """For every pair that is to be seen: does the person's left lie on the image's right?"""
    seen = []
    for person, _, label in people:
        if person.facing != facing:
            continue
        for left, right in LIP.flip_pairs:
            left_x, right_x = (np.nonzero(label == part)[1] for part in (left, right))
            if min(len(left_x), len(right_x)) >= 8:
                seen.append(bool(left_x.mean() > right_x.mean()))
    return seen


def test_left_is_on_the_images_right_for_those_who_face_the_camera(people: Drawn) -> None:
    seen = _sides_seen(people, "front")
    assert len(seen) > 40
    assert np.mean(seen) > 0.93


def test_left_is_on_the_images_left_for_those_seen_from_behind(people: Drawn) -> None:
    seen = _sides_seen(people, "back")
    assert len(seen) > 15
    assert np.mean(seen) < 0.07


def test_faces_show_from_the_front_only(people: Drawn) -> None:
    face = LIP.class_names.index("Face")
    share = {
        facing: np.mean([(label == face).mean() for person, _, label in people if person.facing == facing])
        for facing in ("front", "back")
    }
    assert share["front"] > 4 * share["back"]


def test_mirrored_picture_with_swapped_labels_keeps_left_and_right(people: Drawn) -> None:
    swap = np.arange(LIP.num_classes)
    for left, right in LIP.flip_pairs:
        swap[left], swap[right] = right, left
    mirrored = [(person, image[:, ::-1], swap[label[:, ::-1]]) for person, image, label in people]
    assert np.mean(_sides_seen(mirrored, "front")) > 0.93
    assert np.mean(_sides_seen(mirrored, "back")) < 0.07


def test_limbs_look_different_from_what_is_around_them(people: Drawn) -> None:
    """Labels lie on what was drawn: colours within a class vary less than between a class and its rim."""
    closer = []
    for _, image, label in people:
        for part in np.unique(label[label > 0]):
            mask = (label == part).astype(np.uint8)
            core = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
            rim = (cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0) & (mask == 0)
            if core.sum() >= 30:
                median = np.median(image[core], axis=0)
                inner, outer = (np.abs(image[area] - median).mean() for area in (core, rim))
                closer.append(inner < outer)
    assert np.mean(closer) > 0.85


def test_items_do_not_depend_on_the_sets_size(tmp_path: Path) -> None:
    small = make_dataset(tmp_path / "small", num_train=2, num_val=1, size=SIZE, workers=1)
    large = make_dataset(tmp_path / "large", num_train=5, num_val=3, size=SIZE, workers=1)
    for name in ("train_images/train_00001.jpg", "train_segmentations/train_00001.png", "val_images/val_00000.jpg"):
        assert (small / name).read_bytes() == (large / name).read_bytes()


def test_workers_write_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.people.POOL_FROM", 2)
    alone = make_dataset(tmp_path / "alone", num_train=5, num_val=1, size=SIZE, workers=1)
    pooled = make_dataset(tmp_path / "pooled", num_train=5, num_val=1, size=SIZE, workers=2)
    files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert len(files) == 2 * 6 + 4
    assert files == sorted(path.relative_to(pooled) for path in pooled.rglob("*") if path.is_file())
    assert all((alone / name).read_bytes() == (pooled / name).read_bytes() for name in files)


def test_set_is_written_in_the_lip_layout(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "demo", num_train=4, num_val=3, size=SIZE, seed=9)
    description = load_description(folder)
    assert description.name == "demo"
    assert (description.class_names, description.flip_pairs) == (LIP.class_names, LIP.flip_pairs)
    assert (folder / "val_id.txt").read_text().split() == ["val_00000", "val_00001", "val_00002"]
    samples = list_samples(folder, description, "train")
    assert len(samples) == 4
    shapes = set()
    for index, sample in enumerate(samples):
        image, label = draw_item(9, "train", index, SIZE)
        assert sample.label_path is not None
        assert np.array_equal(read_label(sample.label_path, description), label)
        assert read_image(sample.image_path).shape == image.shape
        shapes.add(label.shape)
        stored = Image.open(sample.label_path)
        assert stored.mode == "P"
        assert (stored.getpalette() or [])[:60] == LIP.palette[:20].ravel().tolist()
    assert len(shapes) > 1


def test_finished_set_is_left_alone_and_an_interrupted_one_is_drawn_again(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path, num_train=2, num_val=1, size=SIZE)
    picture = folder / "train_images/train_00000.jpg"
    drawn = picture.read_bytes()
    picture.write_bytes(b"touched")
    make_dataset(tmp_path, num_train=2, num_val=1, size=SIZE)
    assert picture.read_bytes() == b"touched"
    marker = json.loads((folder / "people.json").read_text())
    (folder / "people.json").write_text(json.dumps(marker | {"complete": False}))
    make_dataset(tmp_path, num_train=2, num_val=1, size=SIZE)
    assert picture.read_bytes() == drawn


def test_set_drawn_by_an_earlier_version_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(tmp_path, num_train=1, num_val=1, size=SIZE)
    picture = tmp_path / "val_images/val_00000.jpg"
    picture.write_bytes(b"as drawn before")
    monkeypatch.setattr("dataset.people.FORMAT_VERSION", -1)
    make_dataset(tmp_path, num_train=1, num_val=1, size=SIZE)
    assert picture.read_bytes() != b"as drawn before"


def test_another_set_is_replaced_only_by_force(tmp_path: Path) -> None:
    make_dataset(tmp_path, num_train=3, num_val=1, size=SIZE)
    with pytest.raises(FileExistsError, match=r"holds another set of drawn people.*--force"):
        make_dataset(tmp_path, num_train=2, num_val=1, size=SIZE)
    make_dataset(tmp_path, num_train=2, num_val=1, size=SIZE, force=True)
    assert len(list((tmp_path / "train_images").iterdir())) == 2


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "train_id.txt").write_text("mine\n")
    with pytest.raises(FileExistsError, match="was not drawn here"):
        make_dataset(tmp_path, num_train=1, num_val=1, force=True)
    assert (tmp_path / "train_id.txt").read_text() == "mine\n"
    with pytest.raises(FileExistsError, match="is a file"):
        make_dataset(tmp_path / "train_id.txt", num_train=1, num_val=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_train": 0}, "at least one"), ({"size": (20, 128)}, "at least 32"), ({"seed": -1}, "negative")],
)
def test_impossible_numbers_are_refused(tmp_path: Path, options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_dataset(tmp_path / "set", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dataset.people", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_command_writes_a_set_and_a_sheet(tmp_path: Path) -> None:
    sheet, folder = tmp_path / "sheets/people.png", tmp_path / "set"
    done = _run(
        *("--output", str(folder), "--train", "3", "--val", "2", "--size", "64,48", "--seed", "4"),
        *("--sheet", str(sheet)),
    )
    assert done.returncode == 0, done.stderr
    assert "3 training and 2 validation" in done.stdout
    assert len(list((folder / "train_segmentations").iterdir())) == 3
    assert read_image(sheet).shape == (4 * 64, 6 * 2 * 48, 3)


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    foreign = _run("--output", str(tmp_path))
    assert foreign.returncode == 1
    assert "was not drawn here" in foreign.stderr
    assert "Traceback" not in foreign.stderr
    nothing = _run()
    assert nothing.returncode == 2
    assert "--output DIR" in nothing.stderr
    size = _run("--output", str(tmp_path / "set"), "--size", "large")
    assert size.returncode == 2
    assert "'large' is not H,W" in size.stderr
