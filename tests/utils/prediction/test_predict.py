"""predict.py: every kind of output read back, names, broken files, boxes, the command itself."""

import json
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import predict
from dataset.geometry import back_to_picture, fit_matrix, logits_back_to_picture
from networks import CSENet
from tests.support import started
from tests.support.predicting import Run, mask, person, save, written
from tests.support.tiny_parser import LIP
from utils.checkpoint import to_published
from utils.checkpoint.snapshots import snapshot_content, write_snapshot
from utils.inference import HumanParser
from utils.inference.inputs import rgb_picture
from utils.prediction.inputs import InputError, find_sources

ROOT = Path(__file__).parents[3]


def test_every_output_can_be_read_back(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    picture = person(3, (120, 75))
    save(tmp_path / "photo.png", 3, (120, 75))
    kinds = ["--overlay", "--side-by-side", "--cutout", "--alpha", "hard", "--json", "--logits"]
    assert run("--input", "photo.png", *kinds, "--scales", "0.75,1") == 0
    out = tmp_path / "out"
    assert written(out) == {
        "masks/photo.png", "overlay/photo.jpg", "side_by_side/photo.jpg", "cutout/photo.png", "json/photo.json",
        "logits/photo.npz",
    }  # fmt: skip
    classes = mask(out / "masks/photo.png")
    np.testing.assert_array_equal(classes, parser.predict(picture, scales=(0.75, 1)))

    with Image.open(out / "cutout/photo.png") as cutout:
        rgba = np.asarray(cutout)
    assert rgba.shape == (120, 75, 4)
    np.testing.assert_array_equal(rgba[..., 3], np.where(classes == 0, 0, 255))
    np.testing.assert_array_equal(rgba[..., :3], np.where(classes[..., None] == 0, 0, picture))

    values = json.loads((out / "json/photo.json").read_text())
    assert (values["height"], values["width"]) == (120, 75)
    assert [entry["index"] for entry in values["classes"]] == np.unique(classes).tolist()
    assert sum(entry["percent"] for entry in values["classes"]) == pytest.approx(100, abs=0.01)
    for entry in values["classes"]:
        rows, columns = np.nonzero(classes == entry["index"])
        assert entry["name"] == LIP.class_names[entry["index"]]
        assert entry["pixels"] == len(rows)
        assert entry["percent"] == pytest.approx(100 * len(rows) / 9000, abs=1e-3)
        assert entry["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]

    with np.load(out / "logits/photo.npz") as file:
        assert file["logits"].shape == (20, 97, 73)
        assert file["logits"].dtype == np.float16
        assert file["class_names"].tolist() == list(LIP.class_names)
        assert file["picture_size"].tolist() == [120, 75]
        np.testing.assert_array_equal(file["to_picture"], fit_matrix((120, 75), (97, 73), inverse=True))
        again = logits_back_to_picture(file["logits"].astype(np.float32), (120, 75)).argmax(axis=0)
    assert (again != classes).mean() < 0.01


def test_cutouts_have_a_soft_alpha_unless_a_hard_one_is_wanted(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", 3, (120, 75))
    assert run("--input", "a.png", "--cutout") == 0
    soft = np.asarray(Image.open(tmp_path / "out/cutout/a.png"))
    np.testing.assert_array_equal(soft[..., 3], parser.predict(picture, alpha_of=LIP.foreground).alpha)
    assert len(np.unique(soft[..., 3])) > 20
    there = soft[..., 3] > 0
    np.testing.assert_array_equal(soft[..., :3][there], person(3, (120, 75))[there])
    assert run("--input", "a.png", "--cutout", "--alpha", "hard") == 0
    hard = np.asarray(Image.open(tmp_path / "out/cutout/a.png"))[..., 3]
    assert np.unique(hard).tolist() == [0, 255]


def test_published_borders_are_those_of_the_evaluation(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    picture = save(tmp_path / "a.png", 3, (480, 300))
    for borders in ("smooth", "published"):
        assert run("--input", "a.png", "--borders", borders) == 0
        np.testing.assert_array_equal(mask(tmp_path / "out/masks/a.png"), parser.predict(picture, borders=borders))
    crop = parser.predict(picture, return_logits="network").logits
    assert crop is not None
    nearest = back_to_picture(crop.argmax(0).astype(np.uint8), (480, 300))
    assert (mask(tmp_path / "out/masks/a.png") != nearest).mean() < 0.01  # float16 makes a few ties


def test_overlay_and_side_by_side_show_the_classes(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "large.png", 1, (420, 300))
    save(tmp_path / "small.png", 1, (42, 30))
    assert run("--input", "large.png", "small.png", "--overlay", "--side-by-side") == 0
    classes, picture = mask(tmp_path / "out/masks/large.png"), person(1, (420, 300)).astype(float)
    colours = LIP.palette[classes].astype(float)
    flat = cv2.erode((classes == 0).astype(np.uint8), np.ones((9, 9))) > 0  # away from JPEG's ringing
    overlay = np.asarray(Image.open(tmp_path / "out/overlay/large.jpg")).astype(float)
    assert overlay.shape[0] >= 420
    assert overlay.shape[1] > 300  # the legend
    assert np.abs(overlay[:420, :300] - picture)[flat].mean() < 4
    painted = np.where((classes == 0)[..., None], picture, 0.4 * picture + 0.6 * colours)
    assert np.abs(overlay[:420, :300] - painted).mean() < 6
    both = np.asarray(Image.open(tmp_path / "out/side_by_side/large.jpg")).astype(float)
    assert np.abs(both[:420, :300] - picture).mean() < 6
    assert np.abs(both[:420, 300:600] - colours).mean() < 6
    legend = overlay[:, 300:] if overlay.shape[0] == 420 else overlay[420:]
    for index in np.unique(classes)[1:]:  # a square of each colour is in the legend
        assert np.abs(legend - LIP.palette[index]).sum(axis=2).min() < 30
    with Image.open(tmp_path / "out/overlay/small.jpg") as small:  # ten times enlarged, or the legend would be all
        assert small.height >= 420


def test_keep_chooses_the_classes_of_the_cutout(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.png", 3, (120, 75))
    assert run("--input", "a.png", "--json") == 0
    present = [entry["index"] for entry in json.loads((tmp_path / "out/json/a.json").read_text())["classes"]]
    one, two = present[1], present[2]
    assert run("--input", "a.png", "--cutout", "--keep", LIP.class_names[one].upper(), two) == 0
    alpha = np.asarray(Image.open(tmp_path / "out/cutout/a.png"))[..., 3]
    clear = np.abs(alpha - 127.5) > 1
    np.testing.assert_array_equal((alpha > 127)[clear], np.isin(mask(tmp_path / "out/masks/a.png"), (one, two))[clear])
    assert run("--input", "a.png", "--cutout", "--keep", "Hat", "Cape", "--overwrite") == 2
    assert "no class 'Cape'; the classes are 0 Background, 1 Hat" in capsys.readouterr().err


def test_a_folder_keeps_its_tree_and_names_never_meet(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    names = {
        "x.jpg": "x", "a.jpg": "a.jpg", "a.png": "a.png", "deep/er/x.png": "deep/er/x", "deep/a.webp": "deep/a",
        "deep/a.png.bmp": "deep/a.png",
    }  # fmt: skip
    for seed, file in enumerate([*names, ".hidden.jpg", ".cache/x.jpg"]):
        save(tmp_path / "in" / file, seed)
    (tmp_path / "in/notes.txt").write_text("no picture")
    assert run("--input", "in", "--batch-size", "3") == 0
    assert written(tmp_path / "out") == {f"masks/{name}.png" for name in names.values()}
    for file, name in names.items():
        expected = parser.predict(tmp_path / "in" / file)
        np.testing.assert_array_equal(mask(tmp_path / f"out/masks/{name}.png"), expected)


def test_files_folders_and_patterns_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("ann/front.jpg", "bob/front.jpg", "bob/front.png", "cat/back.jpg", "odd[1].jpg"):
        save(tmp_path / file)
    (tmp_path / "bob/readme").write_text("no picture")

    def names(*inputs: str) -> set[str]:
        return {source.name for source in find_sources(inputs).sources}

    assert names("ann") == {"front"}
    assert names("*/*.jpg") == {"ann/front", "bob/front", "back"}
    assert names("ann/front.jpg", "bob/front.jpg") == {"ann/front", "bob/front"}
    assert names("ann/front.jpg", "bob") == {"ann/front", "bob/front.jpg", "bob/front.png"}
    assert names("cat", "cat/back.jpg", "./cat/../cat/back.jpg") == {"back"}
    assert names("odd[1].jpg") == {"odd[1]"}
    assert names("**") == {"ann/front", "bob/front.jpg", "bob/front.png", "back", "odd[1]"}
    assert names("bob/readme") == {"readme"}  # whoever names a file wants it tried
    (tmp_path / "cat/loop").symlink_to(tmp_path / "cat")
    assert names("cat") == {"back"}
    with pytest.raises(InputError, match="no such file or folder"):
        names("dan/*.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="'empty' holds no picture or video"):
        names("ann", "empty")


def test_results_inside_the_input_folder_are_no_input(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "out/photo.jpg")
    assert run("--input", "out", "--overlay") == 0
    assert run("--input", "out", "--overlay", "--overwrite") == 0
    assert written(tmp_path / "out") == {"photo.jpg", "masks/photo.png", "overlay/photo.jpg"}


def test_existing_results_are_kept_unless_something_is_missing(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"in/{name}.jpg")
    assert run("--input", "in", "--json") == 0
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert run("--input", "in", "--json") == 0
    assert "All results (2) are in 'out' already" in capsys.readouterr().out
    (tmp_path / "out/json/b.json").unlink()
    leftover = tmp_path / "out/json/.partial-0123456789abcdef.json"  # what a killed run leaves
    leftover.write_text("{")
    os.utime(leftover, (0, 0))
    assert run("--input", "in", "--json") == 0
    assert "1 of 2 inputs parsed" in capsys.readouterr().out
    json.loads((tmp_path / "out/json/b.json").read_text())
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*")}
    assert {path.name for path in made if made[path] == now[path]} == {"a.json", "a.png"}
    assert not leftover.exists()
    assert run("--input", "in", "--json", "--overwrite") == 0
    assert all(path.stat().st_mtime_ns > now[path] for path in made)


def test_broken_files_are_listed_and_the_rest_is_done(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        save(tmp_path / f"in/{number}.jpg", number)
    whole = (tmp_path / "in/0.jpg").read_bytes()
    broken = {"empty.jpg": b"", "text.png": b"hello", "cut.jpg": whole[: len(whole) // 2], "zeros.bmp": bytes(999)}
    for name, content in broken.items():
        (tmp_path / "in" / name).write_bytes(content)
    assert run("--input", "in", "--batch-size", "2") == 1
    assert written(tmp_path / "out") == {f"masks/{number}.png" for number in range(6)}
    output = capsys.readouterr()
    assert "6 of 10 inputs parsed" in output.out
    assert "4 could not be read" in output.err
    for name in broken:
        assert f"in/{name}: " in output.err
    assert run("--input", "in") == 1  # they are tried again
    assert "0 of 10 inputs parsed in 00:00, results in 'out'; 6 had been done before" in capsys.readouterr().out


def test_a_long_run_holds_few_pictures(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def read(path: Path) -> NDArray[np.uint8]:
        nonlocal alive, most
        picture = rgb_picture(path)
        weakref.finalize(picture, gone)
        alive += 1
        most = max(most, alive)
        return picture

    monkeypatch.setattr("utils.prediction.run.rgb_picture", read)
    monkeypatch.setattr("dataset.workers.available_cores", lambda: 4)  # two threads read, two write
    save(tmp_path / "in/0.png")
    for number in range(1, 120):
        (tmp_path / f"in/{number}.png").symlink_to(tmp_path / "in/0.png")
    assert run("--input", "in", "--batch-size", "2") == 0
    assert len(written(tmp_path / "out")) == 120
    # Read ahead 2 + 2, in the network 2 x 2, waiting to be written or being written 4 + 2, and some in between.
    assert 4 <= most <= 20


def test_boxes(run: Run, parser: HumanParser, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        save(tmp_path / f"in/sub/{number}.png", number)
    boxes = {"sub/0.png": [[0, 0, 20, 30], [10, 5, 45, 60]], "sub/2.png": [[50, 0, 60, 9]], "sub/9.png": []}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert run("--input", "in", "--boxes", "boxes.json") == 1
    error = capsys.readouterr().err
    assert "1 entries belong to no picture, such as 'sub/9.png'" in error
    assert "box [50, 0, 60, 9] is empty or outside the picture of 45 x 60" in error
    assert "in/sub/2.png: the box" in error
    assert written(tmp_path / "out") == {"masks/sub/0.png", "masks/sub/1.png"}
    expected = parser.predict(person(0), person_boxes=boxes["sub/0.png"])
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/sub/0.png"), expected)
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/sub/1.png"), parser.predict(person(1)))


def test_what_cannot_be_done_is_said_at_once(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "0.png")
    assert run("--input", "nowhere") == 2
    message = "predict.py: --input 'nowhere': there is no such file or folder, and no picture fits it as a pattern\n"
    assert capsys.readouterr().err == message
    (tmp_path / "out").write_text("a file")
    assert run("--input", "0.png") == 2
    assert "--output 'out' is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", "Hair"), "add --cutout"),
        (("--alpha", "soft"), "add --cutout"),
        (("--alpha", "hard"), "add --cutout"),
        (("--instances",), "add --people auto, or --boxes"),
        (("--people", "auto", "--boxes", "b.json"), "leave out one of them"),
        (("--people", "auto", "--logits"), "leave out --boxes and --people"),
        (("--boxes", "b.json", "--logits"), "leave out --boxes and --people"),
        (("--people-weights", "w.pth"), "add --people auto"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    run: Run, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("--input", "0.png", *options)
    assert message in capsys.readouterr().err


def test_wrong_checkpoints_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = save(tmp_path / "0.png")
    (tmp_path / "wrong.pth").write_text("<html>")
    for name, reason in (("wrong.pth", "is a web page"), ("none.pth", "does not exist")):
        arguments = ["--checkpoint", tmp_path / name, "--input", picture, "--output", tmp_path / "out"]
        assert predict.main([*map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.startswith("predict.py: ")
        assert "Traceback" not in error


@pytest.mark.usefixtures("short_backbones")
def test_the_command_with_a_real_checkpoint(short_network: CSENet, tmp_path: Path) -> None:
    """The published layout through the command line, and a snapshot, give what HumanParser gives."""
    save(tmp_path / "a.png", 5, (90, 70))
    state = {f"module.{name}": tensor for name, tensor in to_published(short_network.state_dict()).items()}
    checkpoint = tmp_path / "published.pth"
    torch.save(state, checkpoint)
    options = ["--checkpoint", str(checkpoint), "--input", "a.png", "--output", "out", "--device", "cpu"]
    command = ["predict.py", *options, "--scales", "1", "--input-size", "65,81"]
    started.run("tests/support/short.py", command, cwd=tmp_path).check_returncode()
    parser = HumanParser.from_checkpoint(checkpoint, "cpu", input_size=(65, 81))
    assert parser.class_names == LIP.class_names
    expected = parser.predict(tmp_path / "a.png")
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(mask(tmp_path / "out/masks/a.png"), expected)
    checkpoint.unlink()
    write_snapshot(tmp_path / "snapshot.pth", snapshot_content(short_network, LIP))
    again = HumanParser.from_checkpoint(tmp_path / "snapshot.pth", "cpu")
    assert again.input_size == (65, 81)
    np.testing.assert_array_equal(again.predict(tmp_path / "a.png"), expected)
