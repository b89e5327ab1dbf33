"""predict.py with videos: frames and rate kept, broken ones listed, interrupted ones leave nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.predicting import Run, frames_of, make_video, mask, save, written
from utils.inference import HumanParser
from utils.prediction.video import VideoWriter

ROOT = Path(__file__).parents[3]


def test_videos_keep_frames_and_rate(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    clip = make_video(tmp_path / "in/clip.avi", 11)
    save(tmp_path / "in/photo.jpg")
    arguments = ("--input", "in", "--side-by-side", "--frames", "--json", "--batch-size", "4")
    assert run(*arguments) == 0
    out = tmp_path / "out"
    frames, _ = frames_of(clip)
    assert len(frames) == 11
    for kind in ("overlay", "side_by_side"):
        made, rate = frames_of(out / kind / "clip.mp4")
        assert len(made) == 11
        assert rate == pytest.approx(12.5)
    for number, frame in enumerate(frames):
        name = f"clip.frames/{number:06d}"
        np.testing.assert_array_equal(mask(out / f"masks/{name}.png"), parser.predict(frame))
        assert (out / f"json/{name}.json").is_file()
    # The left half shows the frames in their order, seven times enlarged.
    side_by_side, _ = frames_of(out / "side_by_side/clip.mp4")
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


def test_broken_videos_are_listed(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "in/good.mp4", 3)
    whole = make_video(tmp_path / "in/cut.avi", 40).read_bytes()
    (tmp_path / "in/cut.avi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in/bad.mp4").write_bytes(b"no video")
    assert run("--input", "in") == 1
    error = capfd.readouterr().err
    assert "bad.mp4: OpenCV cannot open this as a video" in error
    assert "cut.avi: ends after" in error
    assert "good.mp4: ends" not in error
    assert len(frames_of(tmp_path / "out/overlay/good.mp4")[0]) == 3
    assert not list((tmp_path / "out").rglob(".partial*"))


def test_an_interrupted_video_leaves_nothing(tmp_path: Path) -> None:
    frame = np.zeros((31, 33, 3), np.uint8)

    def interrupted() -> None:
        with VideoWriter(tmp_path / "a.mp4", 25) as writer:
            writer.write(frame)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(frame)
    assert frames_of(tmp_path / "a.mp4")[0][0].shape == (32, 34, 3)  # odd sizes become even
