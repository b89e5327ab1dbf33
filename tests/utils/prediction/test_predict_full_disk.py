"""predict.py on a full disk: one sentence with the path, status 2, nothing left, and the next run makes it again."""

from pathlib import Path

import pytest

from tests.support.full_disk import files_of_at_most
from tests.support.predicting import Run, make_video, save, written


@pytest.mark.parametrize(
    ("options", "size", "refused"),
    [
        ((), 100, "masks/photo.png"),
        (("--overlay",), 12_000, "overlay/photo.jpg"),
        (("--side-by-side",), 12_000, "side_by_side/photo.jpg"),
        (("--cutout",), 12_000, "cutout/photo.png"),
        (("--logits",), 12_000, "logits/photo.npz"),
    ],
)
def test_a_picture_on_a_full_disk_is_an_error_and_made_again(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], size: int, refused: str
) -> None:
    photo = save(tmp_path / "photo.png", size=(150, 100))
    with files_of_at_most(size):
        assert run("--input", photo, *options) == 2
    error = capfd.readouterr().err
    assert f"out/{refused}" in error
    assert "File too large" in error
    assert "Traceback" not in error
    assert refused not in written(tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".partial*"))
    assert run("--input", photo, *options) == 0
    assert refused in written(tmp_path / "out")


def test_a_video_on_a_full_disk_is_an_error_and_made_again(
    run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = make_video(tmp_path / "clip.mp4", 6)
    with files_of_at_most(12_000):
        assert run("--input", clip) == 2
    error = capfd.readouterr().err
    assert "out/overlay/clip.mp4" in error
    assert "File too large" in error
    assert written(tmp_path / "out") == set()
    assert run("--input", clip) == 0
    assert written(tmp_path / "out") == {"overlay/clip.mp4"}
