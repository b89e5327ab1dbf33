"""The drawn people as a folder: a LIP-like set, drawn once, never over other files; and the command that does it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dataset.descriptions import BUILT_IN, list_samples, load_description
from dataset.people import make_dataset
from dataset.reading import read_image, read_label

ROOT = Path(__file__).resolve().parents[3]
LIP = BUILT_IN["lip"]
SIZE = (96, 64)


def test_items_do_not_depend_on_the_sets_size(tmp_path: Path) -> None:
    small = make_dataset(tmp_path / "small", num_train=2, num_val=1, size=SIZE, workers=1)
    large = make_dataset(tmp_path / "large", num_train=5, num_val=3, size=SIZE, workers=1)
    for name in ("train_images/train_00001.jpg", "train_segmentations/train_00001.png", "val_images/val_00000.jpg"):
        assert (small / name).read_bytes() == (large / name).read_bytes()


def test_workers_write_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.people.folder.POOL_FROM", 2)
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
    for sample in samples:
        assert sample.label_path is not None
        label = read_label(sample.label_path, description)
        assert read_image(sample.image_path).shape == (*label.shape, 3)
        assert {0, LIP.class_names.index("Hair")} <= set(np.unique(label)) <= set(range(LIP.num_classes))
        shapes.add(label.shape)
        stored = Image.open(sample.label_path)
        assert stored.mode == "P"
        assert (stored.getpalette() or [])[:60] == LIP.palette[:20].ravel().tolist()
    assert len(shapes) > 1
    assert all(0.7 < side / wanted < 1.4 for shape in shapes for side, wanted in zip(shape, SIZE, strict=True))


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
    monkeypatch.setattr("dataset.people.folder.FORMAT_VERSION", -1)
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
    [({"num_train": 0}, "at least one"), ({"num_val": 0}, "at least one"), ({"seed": -1}, "seed: -1")],
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
    assert foreign.returncode == 2
    assert "was not drawn here" in foreign.stderr
    assert "Traceback" not in foreign.stderr
    nothing = _run()
    assert nothing.returncode == 2
    assert "--output DIR" in nothing.stderr
    no_picture = _run("--output", str(tmp_path / "set"), "--sheet", str(tmp_path / "sheet.pdf"))
    assert no_picture.returncode == 2
    assert "sheet.pdf: the sheet is a picture; name a .png or .jpg file" in no_picture.stderr
    no_place = _run("--output", str(tmp_path / "set"), "--sheet", str(tmp_path / "file/sheet.png"))
    assert no_place.returncode == 2
    assert str(tmp_path / "file") in no_place.stderr
    assert not (tmp_path / "set").exists()
