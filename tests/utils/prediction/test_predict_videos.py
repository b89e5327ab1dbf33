"""predict.py with videos: frames, times and sound kept; broken ones are listed and leave nothing."""

import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.films import packets_of, write_film
from tests.support.predicting import Run, frames_of, make_video, mask, person, save, written
from utils.inference import HumanParser


def test_videos_keep_frames_and_times(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "in/clip.avi", 11)
    save(tmp_path / "in/photo.jpg")
    arguments = ("--input", "in", "--side-by-side", "--frames", "--json", "--batch-size", "4")
    assert run(*arguments) == 0
    out = tmp_path / "out"
    frames = frames_of(clip)
    assert len(frames) == 11
    for kind in ("overlay", "side_by_side"):
        times = [time for time, _ in packets_of(out / kind / "clip.mp4", "video")]
        assert times == [Fraction(2 * number, 25) for number in range(11)]
    for number, frame in enumerate(frames):
        name = f"clip.frames/{number:06d}"
        np.testing.assert_array_equal(mask(out / f"masks/{name}.png"), parser.predict(frame))
        assert (out / f"json/{name}.json").is_file()
    # The left half shows the frames in their order, seven times enlarged.
    side_by_side = frames_of(out / "side_by_side/clip.mp4")
    halves = [cv2.resize(shown[: 62 * 7, : 46 * 7], (46, 62), interpolation=cv2.INTER_AREA) for shown in side_by_side]
    for number, half in enumerate(halves):
        distances = [np.abs(half.astype(int) - frame).mean() for frame in frames]
        assert int(np.argmin(distances)) == number
    assert written(out / "masks") == {"photo.png"} | {f"clip.frames/{number:06d}.png" for number in range(11)}

    made_at = (out / "overlay/clip.mp4").stat().st_mtime_ns
    assert run(*arguments) == 0
    assert (out / "overlay/clip.mp4").stat().st_mtime_ns == made_at
    (out / "masks/clip.frames/000010.png").unlink()
    assert run(*arguments) == 0
    assert (out / "overlay/clip.mp4").stat().st_mtime_ns > made_at


def test_uneven_times_sound_and_rotation_come_through(run: Run, tmp_path: Path) -> None:
    times = [Fraction(ms, 1000) for ms in (0, 40, 400, 440)]
    pictures = [person(number, (46, 62)) for number in range(4)]
    clip = write_film(tmp_path / "clip.mov", pictures, times=times, sound="aac", rotation=90)
    assert run("--input", clip, "--frames") == 0
    made = tmp_path / "out/overlay/clip.mp4"
    assert [time for time, _ in packets_of(made, "video")] == times
    assert [data for _, data in packets_of(made, "audio")] == [data for _, data in packets_of(clip, "audio")]
    assert mask(tmp_path / "out/masks/clip.frames/000003.png").shape == (62, 46)


def test_broken_videos_are_listed_and_leave_nothing(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "in/good.mp4", 3)
    whole = make_video(tmp_path / "in/cut.avi", 40).read_bytes()
    (tmp_path / "in/cut.avi").write_bytes(whole[: len(whole) // 2])
    middle = len(whole) // 2
    (tmp_path / "in/damaged.avi").write_bytes(whole[: middle - 900] + bytes(1800) + whole[middle + 900 :])
    (tmp_path / "in/bad.mp4").write_bytes(b"no video")
    assert run("--input", "in", "--frames", "--batch-size", "2") == 1
    error = capfd.readouterr().err
    assert "3 could not be read" in error
    assert "bad.mp4: PyAV cannot open this as a video" in error
    assert "cut.avi: this video was cut off" in error
    assert "damaged.avi: the video" in error
    assert len(frames_of(tmp_path / "out/overlay/good.mp4")) == 3
    assert written(tmp_path / "out") == {"overlay/good.mp4"} | {f"masks/good.frames/{i:06d}.png" for i in range(3)}
    (tmp_path / "in/cut.avi").write_bytes(whole)
    assert run("--input", "in") == 1
    assert len(frames_of(tmp_path / "out/overlay/cut.mp4")) == 40


def test_without_pyav_pictures_are_parsed_and_videos_say_what_to_install(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "in/clip.mp4", 1)
    save(tmp_path / "in/photo.jpg")
    monkeypatch.setitem(sys.modules, "av", None)
    assert run("--input", "in") == 1
    assert "clip.mp4: videos need PyAV: pip install av" in capfd.readouterr().err
    assert written(tmp_path / "out") == {"masks/photo.png"}
