"""`python -m dataset.check`: it finds everything that is wrong, at once, and counts what is there."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.check import main
from dataset.descriptions import BUILT_IN


def check(capsys: pytest.CaptureFixture[str], data_dir: Path, *options: object) -> tuple[int, str, str]:
    status = main(["--data-dir", str(data_dir), *map(str, options)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def read_values(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.array(picture)


@pytest.mark.parametrize(("layout", "values"), [("lip", (0, 20)), ("cihp", (0, 20)), ("ade20k", (0, 151))])
def test_a_sound_dataset_is_clean(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str], layout: str, values: tuple[int, int]
) -> None:
    status, out, _ = check(capsys, make_dataset(layout, values=values))
    assert status == 0
    assert "No problems found." in out
    assert out.startswith(f"{layout}: ")


def test_the_report_counts_what_is_there(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_dir = make_dataset(train=("t1", "t2"), val=("v1",), size=(40, 30))
    tall = np.zeros((70, 20), np.uint8)
    tall[:7] = 5
    tall[7:10] = 255
    cv2.imwrite(str(data_dir / "train_images/t2.jpg"), np.zeros((70, 20, 3), np.uint8))
    cv2.imwrite(str(data_dir / "train_segmentations/t2.png"), tall)
    first = read_values(data_dir / "train_segmentations/t1.png")
    first[first == 6] = 0
    cv2.imwrite(str(data_dir / "train_segmentations/t1.png"), first)
    report = tmp_path / "out" / "report.json"
    status, out, _ = check(capsys, data_dir, "--report", report, "--workers", 2)
    assert status == 0
    written = json.loads(report.read_text())
    train = written["splits"]["train"]
    assert train["photographs"] == train["label_maps"] == 2
    assert train["height"] == {"min": 40, "median": 70, "max": 70}
    assert train["width"] == {"min": 20, "median": 30, "max": 30}
    coats = int((first == 7).sum())
    uppers = int((first == 5).sum()) + 140
    assert train["pixels"]["Coat"] == coats
    assert train["pixels"]["Upper-clothes"] == uppers
    assert train["photographs_with"]["Upper-clothes"] == 2
    assert train["photographs_with"]["Coat"] == 1
    assert train["pixels"]["Dress"] == train["photographs_with"]["Dress"] == 0
    assert train["ignored_pixels"] == 60
    assert sum(train["pixels"].values()) + 60 == 40 * 30 + 70 * 20
    assert written["splits"]["val"]["photographs"] == 1
    assert written["problems"] == []
    row = next(line for line in out.splitlines() if "Upper-clothes" in line).split()
    assert row[:4] == ["5", "Upper-clothes", f"{100 * uppers / 2540:.3f}%", "2"]
    sizes = next(line for line in out.splitlines() if line.startswith("train")).split()
    assert sizes == ["train", "2", "40/70/70", "20/30/30"]
    ignored = next(line for line in out.splitlines() if "(ignored)" in line).split()
    assert ignored[1:3] == [f"{100 * 60 / 2600:.3f}%", "1"]


def break_everything(data_dir: Path) -> list[tuple[str, str, str]]:
    """Do one thing of each kind to a LIP-like dataset; return what the check must say about each."""
    images, labels = data_dir / "train_images", data_dir / "train_segmentations"
    (images / "t1.jpg").unlink()
    (labels / "t2.png").unlink()
    (images / "extra.jpg").write_bytes((images / "t3.jpg").read_bytes())
    (labels / "surplus.png").write_bytes((labels / "t3.png").read_bytes())
    with (data_dir / "train_id.txt").open("a") as file:
        file.write("t3\nv1\n")
    (images / "v1.jpg").write_bytes((data_dir / "val_images/v1.jpg").read_bytes())
    (labels / "v1.png").write_bytes((data_dir / "val_segmentations/v1.png").read_bytes())
    cv2.imwrite(str(labels / "t3.png"), np.zeros((40, 29), np.uint8))
    cv2.imwrite(str(labels / "t4.png"), np.full((40, 30), 33, np.uint8))
    (images / "t5.jpg").write_bytes((images / "t5.jpg").read_bytes()[:-200])
    Image.new("RGB", (30, 40)).save(data_dir / "val_segmentations/v2.png")
    return [
        ("no photograph", "train", "train_images has no photograph of t1, which"),
        ("no label map", "train", "train_segmentations has no label map of t2, which"),
        ("not listed", "train", "extra.jpg is not used"),
        ("not listed", "train", "surplus.png is not used"),
        ("listed twice", "train", "train_id.txt has t3 2 times (lines 3, 7)"),
        ("in two splits", "train, val", "v1 is a photograph of both splits"),
        ("size mismatch", "train", "t3.jpg is 30 x 40 pixels, but"),
        ("wrong label map", "train", "t4.png: the values 33 are no labels of lip"),
        ("damaged photograph", "train", "t5.jpg: "),
        ("wrong label map", "val", "v2.png: a label map is a PNG of 8 bit gray values"),
    ]


def test_everything_wrong_is_reported_at_once_and_what_can_be_read_is_counted(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_dir = make_dataset(train=[f"t{i}" for i in range(1, 7)])
    expected = break_everything(data_dir)
    status, out, _ = check(capsys, data_dir, "--report", tmp_path / "report.json")
    assert status == 1
    report = json.loads((tmp_path / "report.json").read_text())
    problems, train = report["problems"], report["splits"]["train"]
    for kind, split, message in expected:
        (found,) = [p for p in problems if p["kind"] == kind and message in p["message"]]
        assert found["split"] == split
        assert f"  {split}: {found['message']}" in out
    assert len(problems) == len(expected)
    assert out.rstrip().endswith(f"{len(expected)} problems found.")
    assert train["photographs"] == 5, "t2, t3, t4, t6, v1"
    assert train["label_maps"] == 4, "t3, t5, t6, v1"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("train_id.txt", "train_id.txt: cannot be read"),
        ("val_segmentations", "val_segmentations: no such folder"),
    ],
)
def test_a_missing_list_or_folder_does_not_hide_the_rest(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path, missing: str, message: str
) -> None:
    data_dir = make_dataset(train=("t1", "t2"), val=("v1",))
    (data_dir / missing).rename(tmp_path / "elsewhere")
    (data_dir / "train_images/t2.jpg").write_bytes(b"broken")
    status, out, _ = check(capsys, data_dir)
    assert status == 1
    assert message in out
    assert "t2.jpg: " in out
    assert "2 problems found." in out


def test_a_single_split_is_looked_at(make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    data_dir = make_dataset(val=())
    for name in ("val_images", "val_segmentations"):
        (data_dir / name).rmdir()
    (data_dir / "val_id.txt").unlink()
    status, out, _ = check(capsys, data_dir)
    assert status == 0
    assert "val" not in out.replace("/val", "")


def test_ade20k_labels_without_photograph_are_found(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset("ade20k", values=(0, 151))
    (data_dir / "images/training/t1.jpg").unlink()
    (data_dir / "annotations/validation/v2.png").unlink()
    status, out, _ = check(capsys, data_dir)
    assert status == 1
    assert "t1.png is not used" in out
    assert "annotations/validation has no label map of v2" in out


def test_many_problems_of_a_kind_are_shortened(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = make_dataset(train=[f"t{i}" for i in range(25)])
    for file in (data_dir / "train_segmentations").iterdir():
        file.unlink()
    status, out, _ = check(capsys, data_dir)
    assert status == 1
    assert out.count("has no label map of") == 20
    assert "... and 5 more" in out
    assert "25 problems found." in out


def test_the_chart_shows_every_class_in_its_colour(
    make_dataset: Callable[..., Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_dir = make_dataset()
    for file in [*data_dir.glob("*_segmentations/*.png")]:
        label = read_values(file)
        label[label == 6] = 0
        cv2.imwrite(str(file), label)
    chart = tmp_path / "out" / "chart.png"
    check(capsys, data_dir, "--output", chart)
    with Image.open(chart) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    shown = [int((pixels == colour).all(axis=1).sum()) for colour in BUILT_IN["lip"].palette[:20]]
    swatch = 15 * 15
    assert shown[6] == swatch  # no bar for a class that does not occur
    assert all(count > 5 * swatch for index, count in enumerate(shown) if index != 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data-dir", "nowhere"], "nowhere: no such folder; --data-dir must name"),
        (["--data-dir", "."], "neither a dataset.json nor the folders of a known layout"),
        (["--data-dir", "."], "cihp: Training/Images/*.jpg, Training/Category_ids/*.png"),
        (["--data-dir", ".", "--dataset", "lips"], "'lips' is not one of the datasets known here (lip, cihp, atr"),
        (["--data-dir", ".", "--dataset", "atr"], "has nothing of the lip layout: train_images"),
    ],
)
def test_without_a_dataset_the_status_is_two(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("dataset.check: ")
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--data-dir"),
        (["--data-dir", ".", "--workers", "0"], "--workers: 0 is not between 1 and 256"),
        (["--data-dir", ".", "--output", "chart.pdf"], "--output must end in .png, not 'chart.pdf'"),
    ],
)
def test_wrong_usage_has_status_two(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(options)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_it_runs_as_a_command(make_dataset: Callable[..., Path], request: pytest.FixtureRequest) -> None:
    data_dir = make_dataset()
    (data_dir / "val_images/v1.jpg").unlink()
    command = [sys.executable, "-m", "dataset.check", "--data-dir", str(data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=request.config.rootpath, check=False)
    assert result.returncode == 1, result.stderr
    assert "val_images has no photograph of v1" in result.stdout
    assert result.stderr == ""
