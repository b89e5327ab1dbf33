"""`python -m dataset.prepare_ccp` on a made-up repository of the published form."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dataset.check import main as check
from dataset.descriptions import list_samples, load_description
from dataset.prepare_ccp import CLASS_TAGS, _load, main, split_ids
from dataset.reading import read_image, read_label
from tests.support.clothing import BOOTS, HAIR, SKIN, TAGS, make_repository, person

ORDER = [f"{number:04d}" for number in np.random.default_rng(2024).permutation(np.arange(1, 1005))]


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes photographs with their tags into a repository, by id."""

    def write(**tags_by_id: NDArray[np.uint8]) -> Path:
        return make_repository(tmp_path / "clothing-co-parsing", {name[1:]: tags for name, tags in tags_by_id.items()})

    return write


def prepare(source: Path, output: Path, *options: str) -> int:
    return main(["--source", str(source), "--output", str(output), *options])


def lines(path: Path) -> list[str]:
    return path.read_text().split()


def test_the_classes_take_every_tag_once() -> None:
    assert next(iter(CLASS_TAGS)) == "Background"
    assert len(CLASS_TAGS) == 15
    assert len(TAGS) == len(set(TAGS)) == 59


def test_the_published_split() -> None:
    splits = split_ids()
    assert splits == {"train": sorted(ORDER[:704]), "val": sorted(ORDER[704:904])}
    # As data made from the whole repository has it: 0536 is dropped, which leaves 703 and 200.
    assert splits["train"][:5] == ["0001", "0002", "0003", "0005", "0007"]
    assert splits["val"][:3] == ["0004", "0006", "0012"]
    assert "0536" in splits["train"]


def test_the_split_of_all_photographs() -> None:
    splits = split_ids(all_photographs=True)
    kept = {split: set(ids) - {"0536"} for split, ids in splits.items()}
    assert (len(kept["train"]), len(kept["val"])) == (804, 199)
    assert kept["train"] | kept["val"] == set(ORDER) - {"0536"}
    assert set(split_ids()["train"]) <= set(splits["train"])


def test_photographs_go_where_the_random_order_sends_them(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [ORDER[0], ORDER[703], ORDER[704], ORDER[903], ORDER[904]]
    source = repository(**{f"_{name}": person() for name in names})
    assert prepare(source, tmp_path / "ccp") == 0
    assert lines(tmp_path / "ccp/train_id.txt") == sorted(names[:2])
    assert lines(tmp_path / "ccp/val_id.txt") == sorted(names[2:4])
    assert "900 of 904 photographs are missing" in capsys.readouterr().out
    assert prepare(source, tmp_path / "all", "--all") == 0
    assert lines(tmp_path / "all/train_id.txt") == sorted(names[:3])
    assert lines(tmp_path / "all/val_id.txt") == sorted(names[3:])
    assert "999 of 1004 photographs are missing" in capsys.readouterr().out


def test_the_result_is_a_sound_dataset(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "ccp"
    prepare(repository(**{f"_{ORDER[0]}": person(), f"_{ORDER[704]}": person()}), output)
    assert check(["--data-dir", str(output)]) == 0
    assert "ccp: 15 classes" in capsys.readouterr().out
    assert json.loads((output / "dataset.json").read_text()) == {
        "name": "ccp",
        "classes": list(CLASS_TAGS),
        "flip_pairs": [],
        "ignore_label": 255,
    }


def prepared(source: Path, output: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    prepare(source, output)
    description = load_description(output)
    (sample,) = list_samples(output, description, "train")
    assert sample.label_path is not None
    return read_image(sample.image_path), read_label(sample.label_path, description)


def test_the_crop_is_the_foreground_and_a_margin(repository: Callable[..., Path], tmp_path: Path) -> None:
    tags = person(300, 200, (50, 250, 60, 140))
    image, label = prepared(repository(**{f"_{ORDER[0]}": tags}), tmp_path / "ccp")
    # The foreground spans rows 50 .. 249 and columns 60 .. 139, so the margin is int(0.06 x 199) = 11.
    cut = tags[39:261, 49:151]
    expected = np.select([cut == HAIR, cut == SKIN, cut == BOOTS], [2, 4, 11])
    assert (label == expected).all()
    assert image.shape == (222, 102, 3)
    assert np.abs(image[..., 0].astype(int) - cut * 4).mean() < 3


def test_the_margin_ends_at_the_edge_of_the_photograph(repository: Callable[..., Path], tmp_path: Path) -> None:
    _, label = prepared(repository(**{f"_{ORDER[0]}": person(300, 200, (2, 299, 150, 199))}), tmp_path / "ccp")
    # The margin would be int(0.06 x 296) = 17: only to the left there is room for it.
    assert label.shape == (300, 200 - (150 - 17))


def test_long_photographs_are_scaled_to_512(repository: Callable[..., Path], tmp_path: Path) -> None:
    tags = person(1200, 420, (100, 1100, 100, 300))
    image, label = prepared(repository(**{f"_{ORDER[0]}": tags}), tmp_path / "ccp")
    # Margin int(0.06 x 999) = 59: rows 41 .. 1158, columns 41 .. 358, that is 1118 x 318 pixels.
    assert label.shape == image.shape[:2] == (512, round(318 * 512 / 1118))
    rows = (np.arange(512) + 0.5) * 1118 / 512 + 41
    columns = (np.arange(146) + 0.5) * 318 / 146 + 41
    cut = tags[rows.astype(int)][:, columns.astype(int)]
    assert (label == np.select([cut == HAIR, cut == SKIN, cut == BOOTS], [2, 4, 11])).all()


def test_photographs_of_little_foreground_are_left_out(repository: Callable[..., Path], tmp_path: Path) -> None:
    # 100 x 100 pixels: 2 % of the uncropped photograph are 200.
    enough = person(100, 100, (10, 30, 10, 20))
    little = enough.copy()
    little[10, 10] = 0
    source = repository(_0536=np.zeros((100, 100), np.uint8), **{f"_{ORDER[0]}": little, f"_{ORDER[1]}": enough})
    assert (np.count_nonzero(little), np.count_nonzero(enough)) == (199, 200)
    assert prepare(source, tmp_path / "ccp") == 0
    assert lines(tmp_path / "ccp/train_id.txt") == [ORDER[1]]
    assert [path.name for path in (tmp_path / "ccp/train_images").iterdir()] == [f"{ORDER[1]}.jpg"]


def test_it_may_be_repeated_but_not_with_another_split(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = repository(**{f"_{name}": person() for name in (ORDER[0], ORDER[704], ORDER[903])})
    output = tmp_path / "ccp"
    assert prepare(source, output) == 0
    (output / "train_images/._0001.jpg").write_bytes(b"macOS")
    (output / "train_images/@eaDir").mkdir()  # Synology's
    assert prepare(source, output) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    assert prepare(source, output, "--all") == 2
    assert "val_images has photographs that are not in this val split" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before


def test_another_folder_is_not_taken_for_the_repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare(tmp_path, tmp_path / "ccp") == 2
    assert "is not the Clothing Co-Parsing repository: it has no label_list.mat" in capsys.readouterr().err
    assert not (tmp_path / "ccp").exists()


def test_a_repository_without_photographs_is_an_error(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(repository(), tmp_path / "ccp") == 2
    assert "has none of the photographs 0001 to 1004" in capsys.readouterr().err


def load_without_scipy(*arguments: Any) -> Any:
    """Do what the process that reads does, as if scipy were not installed there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "scipy.io", None)
        return _load(*arguments)


def test_without_scipy_the_message_says_what_to_install(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataset.prepare_ccp._load", load_without_scipy)
    assert prepare(repository(), tmp_path / "ccp") == 2
    assert "pip install scipy" in capsys.readouterr().err
