"""predict.py and folders: names that never meet, folders that cannot be read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.predicting import Run, frames_of, make_video, mask, save, written
from utils.inference import HumanParser
from utils.prediction.inputs import InputError, find_sources

Output = pytest.CaptureFixture[str]


def test_frames_of_a_video_and_pictures_in_a_folder_of_that_name_never_meet(
    run: Run, parser: HumanParser, tmp_path: Path
) -> None:
    clip = make_video(tmp_path / "in/clip.mp4", 2)
    picture = save(tmp_path / "in/clip.frames/000000.png", 5, (80, 50))
    for arguments in (["--input", "in", "--frames"], ["--input", "in/../in", "--frames", "--overwrite"]):
        assert run(*arguments) == 0
        np.testing.assert_array_equal(
            mask(tmp_path / "out/masks/clip.frames/000000.png"), parser.predict(frames_of(clip)[0])
        )
        np.testing.assert_array_equal(mask(tmp_path / "out/masks/clip.frames/000000.png.png"), parser.predict(picture))
    assert len(written(tmp_path / "out/masks")) == 3
    os.remove(clip)  # names do not depend on what else is there
    assert {source.name for source in find_sources([str(tmp_path / "in")]).sources} == {"clip.frames/000000.png"}


def test_inputs_are_taken_in_the_order_they_are_named(tmp_path: Path) -> None:
    for name in ("b/2.png", "a/1.png", "c.png", "d.png"):
        save(tmp_path / name)
    named = ["d.png", "b", "c.png", "a", "d.png"]
    found = find_sources([str(tmp_path / name) for name in named])
    assert [source.path.name for source in found.sources] == ["d.png", "2.png", "c.png", "1.png"]


def test_a_folder_called_like_a_result_is_no_obstacle(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in/a.jpg")
    save(tmp_path / "in/a.png/b.jpg")
    make_video(tmp_path / "in/c.avi", 1)
    save(tmp_path / "in/c.mp4/d.jpg")
    assert run("--input", "in", "--json") == 0
    assert written(tmp_path / "out") == {
        "masks/a.jpg.png", "json/a.jpg.json", "masks/a.png/b.png", "json/a.png/b.json", "overlay/c.avi.mp4",
        "masks/c.mp4/d.png", "json/c.mp4/d.json",
    }  # fmt: skip


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may list folders called `locked`: not even root, whom permissions do not stop."""
    scandir = os.scandir

    def refuse(path: Any = ".") -> Iterator[os.DirEntry[str]]:
        if not isinstance(path, int) and os.path.basename(os.fspath(path).rstrip("/")) == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("pattern", ["in", "in/**", "in/**/*.png", "in/*/*.png"])
def test_folders_that_cannot_be_read_are_named(run: Run, tmp_path: Path, capsys: Output, pattern: str) -> None:
    save(tmp_path / "in/sub/a.png")
    (tmp_path / "in/locked").mkdir()
    for _ in range(2):
        assert run("--input", pattern) == 1
        error = capsys.readouterr().err
        assert "These folders could not be searched for pictures:\n  " in error
        assert "in/locked: Permission denied\n" in error
    assert len(written(tmp_path / "out")) == 1


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("text", ["locked", "locked/*.png", "lock*", "above"])
def test_an_input_that_holds_nothing_but_such_a_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "locked").mkdir()
    (tmp_path / "above/locked").mkdir(parents=True)
    with pytest.raises(InputError, match=r"not all can be read; .*locked: Permission denied$"):
        find_sources([text])


@pytest.mark.usefixtures("locked")
def test_folders_on_the_way_to_a_pattern_need_not_be_listed(tmp_path: Path) -> None:
    save(tmp_path / "locked/mine/a.png")
    found = find_sources([f"{tmp_path}/locked/mine/*.png"])
    assert ([source.name for source in found.sources], found.unreadable) == (["a"], [])
