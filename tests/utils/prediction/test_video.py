"""Videos read and written: times, sound, rotation and colours kept; what is cut off or damaged is no video."""

from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.films import all_frames, codecs_of, packets_of, write_film
from utils.prediction.video import VideoError, VideoReader, count_frames
from utils.prediction.video_writer import write_video

UNEVEN = [Fraction(ms, 1000) for ms in (0, 40, 110, 120, 700, 1100)]


def shades(count: int, size: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    """Return gray pictures that become brighter, each with a red corner, top left."""
    pictures = [np.full((*size, 3), 40 + 15 * number, np.uint8) for number in range(count)]
    for picture in pictures:
        picture[: size[0] // 4, : size[1] // 4] = (220, 30, 40)
    return pictures


def copy(source: Path, target: Path) -> Path:
    """Write a video anew, its frames as they are."""
    with VideoReader(source) as reader, write_video(target, reader) as writer:
        for frame in iter(reader.read, None):
            writer.write(frame.pixels, frame.time)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_frames_keep_their_own_times(tmp_path: Path, suffix: str) -> None:
    source = write_film(tmp_path / f"in{suffix}", shades(6), times=UNEVEN)
    made = copy(source, tmp_path / "out.mp4")
    assert [frame.time for frame in all_frames(source)] == UNEVEN
    assert [time for time, _ in packets_of(made, "video")] == UNEVEN
    assert count_frames(made) == 6


def test_frames_come_back_in_order_in_their_colours(tmp_path: Path) -> None:
    pictures = shades(6)
    made = copy(write_film(tmp_path / "in.mp4", pictures), tmp_path / "out.mp4")
    for picture, frame in zip(pictures, all_frames(made), strict=True):
        assert np.abs(frame.pixels[16:, 24:].astype(int) - picture[16:, 24:]).max() <= 6
        assert np.abs(frame.pixels[:8, :8].astype(int) - picture[:8, :8]).max() <= 12


def test_videos_are_such_as_browsers_play(tmp_path: Path) -> None:
    made = copy(write_film(tmp_path / "in.mp4", shades(3, (47, 63)), sound="aac", codec="mjpeg"), tmp_path / "out.mp4")
    assert codecs_of(made) == [("h264", "yuv420p"), ("aac", "")]
    assert all_frames(made)[0].pixels.shape == (48, 64, 3)  # odd sides become even
    content = made.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # so that they begin before they are loaded


@pytest.mark.parametrize(("name", "encoder"), [("in.mp4", "aac"), ("in.mkv", "libopus"), ("in.avi", "libmp3lame")])
def test_sound_is_copied_packet_by_packet(tmp_path: Path, name: str, encoder: str) -> None:
    if encoder == "libopus" and int(version("av").partition(".")[0]) < 18:
        pytest.skip("this PyAV, of before 18.0, copies Opus 7 ms late")
    source = write_film(tmp_path / name, shades(12), sound=encoder)
    made = copy(source, tmp_path / "out.mp4")
    before, after = packets_of(source, "audio"), packets_of(made, "audio")
    assert [data for _, data in after] == [data for _, data in before]
    assert all(abs(time - own) < 0.002 for (time, _), (own, _) in zip(after, before, strict=True))


@pytest.mark.parametrize("sound_start", [Fraction(1, 2), Fraction(0)])
def test_picture_and_sound_that_begin_later_do_so_in_the_copy(tmp_path: Path, sound_start: Fraction) -> None:
    times = [time + Fraction(1, 4) for time in UNEVEN]
    source = write_film(tmp_path / "in.mkv", shades(6), times=times, sound="libopus", sound_start=sound_start)
    made = copy(source, tmp_path / "out.mp4")
    first_picture, first_sound = (packets_of(made, kind)[0][0] for kind in ("video", "audio"))
    [own_picture, own_sound] = [packets_of(source, kind)[0][0] for kind in ("video", "audio")]
    assert abs((first_picture - first_sound) - (own_picture - own_sound)) < 0.002


def test_sound_that_browsers_do_not_play_is_encoded_anew_with_its_length(tmp_path: Path) -> None:
    made = copy(write_film(tmp_path / "in.avi", shades(12), sound="pcm_s16le"), tmp_path / "out.mp4")
    assert codecs_of(made)[1][0] == "aac"
    times = [time for time, _ in packets_of(made, "audio")]
    assert abs(times[0]) < 0.03
    assert abs(times[-1] - 1) < 0.05


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_frames_are_upright_as_the_file_says(tmp_path: Path, degrees: int, turns: int) -> None:
    source = write_film(tmp_path / "in.mp4", shades(2), rotation=degrees)
    upright = all_frames(source)[0].pixels
    expected = np.rot90(shades(1)[0], turns)
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 4
    assert all_frames(copy(source, tmp_path / "out.mp4"))[0].pixels.shape == expected.shape


@pytest.mark.parametrize(
    ("name", "options"),
    [("in.mp4", {}), ("in.mp4", {"movflags": "faststart"}), ("in.mkv", {}), ("in.avi", {})],
    ids=["MP4", "MP4 whose contents come first", "Matroska", "AVI"],
)
def test_a_video_that_is_cut_off_anywhere_is_none(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    source = write_film(tmp_path / name, shades(8), sound="aac", options=options)
    content = source.read_bytes()
    assert len(all_frames(source)) == 8
    for end in (*(round(share * len(content)) for share in (0.0, 0.001, 0.3, 0.6, 0.9, 0.99)), len(content) - 20):
        source.write_bytes(content[:end])
        with pytest.raises(VideoError, match=rf"{name}.*cut off"):
            all_frames(source)


def test_playlists_which_name_other_files_are_no_videos(tmp_path: Path) -> None:
    write_film(tmp_path / "secret.mp4", shades(2))
    source = tmp_path / "in.mp4"
    for text in (f"ffconcat version 1.0\nfile {tmp_path / 'secret.mp4'}\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n"):
        source.write_text(text)
        with pytest.raises(VideoError, match="another format"):
            VideoReader(source)


def test_frames_of_too_many_pixels_are_refused_by_their_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_film(tmp_path / "in.mp4", shades(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(VideoError, match="64 x 48 pixels are more"):
        VideoReader(source)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    VideoReader(source).close()


def test_a_frame_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", shades(2))
    with VideoReader(source) as reader, write_video(tmp_path / "out.mp4", reader) as writer:
        writer.write(shades(1)[0], Fraction(0))
        writer.write(shades(1, (24, 32))[0], Fraction(1))
    assert [frame.pixels.shape for frame in all_frames(tmp_path / "out.mp4")] == [(48, 64, 3)] * 2


def test_an_interrupted_video_leaves_nothing(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in/in.mp4", shades(3), sound="aac")

    def interrupted() -> None:
        with VideoReader(source) as reader, write_video(tmp_path / "out/out.mp4", reader) as writer:
            writer.write(shades(1)[0], Fraction(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list((tmp_path / "out").iterdir())
