"""Videos through PyAV: frames in, one after the other, never all of them in memory."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dataset.files import open_regular
from utils.pictures.figures import Picture
from utils.prediction.containers import is_cut_off

FALLBACK_RATE = Fraction(25)

_FORMATS = "mov,matroska,avi,mpegts,mpeg,asf,flv,ogg"
"""The containers that are opened, by FFmpeg's names. Others, such as playlists, name further files and addresses."""
_WHOLE = 0.95
"""The share of the promised duration that a whole video has at least; some containers only estimate it."""


class VideoError(ValueError):
    """A video cannot be read or written; the message says which and why."""


class Frame(NamedTuple):
    """A picture of a video."""

    pixels: Picture
    """(H, W, 3) RGB, upright."""
    time: Fraction
    """Seconds since the video's beginning at which it is to be seen."""


class VideoReader(contextlib.ExitStack):
    """The frames of a video, one after the other; used as a context manager.

    frame_rate: frames per second, on average where it varies; 25 where the file does not say.
    frame_count: what the file's header promises, or its duration and rate; 0 where it promises nothing.
    time_base: the times of frames are multiples of it, in seconds.

    Raises OSError for what is no file, and VideoError for what is no video, has frames of more pixels than Pillow takes
    for harmless in a picture, or where PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        try:
            import av  # an extra
        except ImportError as error:
            raise VideoError(f"{path}: videos need PyAV: pip install av") from error
        self.av = av
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open_regular(path))  # FFmpeg would wait at a pipe for its other end
            if is_cut_off(file):
                raise VideoError(
                    f"{path}: this video was cut off: the file is shorter than it says, as after a download that broke "
                    "off; get it once more"
                )
            file.seek(0)
            self.container = opened.enter_context(self._open(file))
            self._stream = self._video_stream()
            self.push(opened.pop_all())  # no error: they stay open until this is closed
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.frame_rate = Fraction(rate) if rate and rate > 0 else FALLBACK_RATE
        self.time_base = Fraction(self._stream.time_base)
        self.start = Fraction(self.container.start_time or 0, self.av.time_base)
        """Where the times in the file begin: what comes first, picture or sound, is at 0 for `Frame.time`."""
        self.duration = Fraction(self.container.duration or 0, self.av.time_base)
        self.frame_count = max(0, self._stream.frames or round(self.duration * self.frame_rate))
        self._time = Fraction(-1)
        self._frames = self._decoded()

    def read(self) -> Frame | None:
        """Return the next frame; None after the last one. Raises VideoError where the file is damaged or cut off."""
        return next(self._frames, None)

    def _open(self, file: Any) -> Any:
        options = {"format_whitelist": _FORMATS}
        try:
            return self.av.open(file, options=options, metadata_errors="replace")
        except (self.av.FFmpegError, OSError) as error:  # OSError where the file ends before it has begun
            raise VideoError(
                f"{self.path}: PyAV cannot open this as a video; the file is damaged, cut off or of another format"
            ) from error

    def _video_stream(self) -> Any:
        stream = self.container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise VideoError(f"{self.path}: holds no video that PyAV can decode")
        # Damage is an error, not something to be painted over.
        options, width, height = {"err_detect": "explode"}, stream.codec_context.width, stream.codec_context.height
        if Image.MAX_IMAGE_PIXELS is not None:
            most = 2 * Image.MAX_IMAGE_PIXELS
            if width * height > most:
                raise VideoError(
                    f"{self.path}: frames of {width} x {height} pixels are more than the {most} that Pillow takes for "
                    "harmless; for videos that you trust there is predict.py --large-pictures"
                )
            options["max_pixels"] = str(most)  # the size may change on the way
        stream.codec_context.options = options
        stream.thread_type = "AUTO"
        return stream

    def _decoded(self) -> Iterator[Frame]:
        # Packets of the sound count, too: they may be what is missing, and a video may end before its sound. The end
        # counts from 0, while the duration counts from what comes first in some containers, which is less.
        end, packets = Fraction(0), self.container.demux()
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    break
                damaged = packet.is_corrupt
                if packet.pts is not None and packet.time_base is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                frames = packet.decode() if packet.stream.index == self._stream.index else []
            except (self.av.FFmpegError, OSError) as error:
                raise self._broken(f"cannot be decoded ({error.strerror})") from error
            for frame in frames:
                damaged = damaged or frame.is_corrupt
                if not damaged:
                    yield self._upright(frame)
            if damaged:
                raise self._broken("is damaged there")
        if self._time < 0:
            raise VideoError(f"{self.path}: no frame of this video can be decoded")
        if end < _WHOLE * self.duration:
            raise self._broken(f"should last {float(self.duration):.1f} s, and ends after {float(end):.1f} s")

    def _upright(self, frame: Any) -> Frame:
        stamp = frame.pts if frame.pts is not None else frame.dts
        if stamp is None:
            time = self._time + 1 / self.frame_rate if self._time >= 0 else Fraction(0)
        else:
            time = max(Fraction(0), stamp * Fraction(frame.time_base) - self.start)
        if time <= self._time:  # two frames at once: a file that was put together carelessly
            time = self._time + self.time_base
        self._time = time
        matrix = next((bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
        return Frame(_turned(frame.to_ndarray(format="rgb24"), matrix), time)

    def _broken(self, reason: str) -> VideoError:
        return VideoError(
            f"{self.path}: the video {reason}, after {max(0.0, float(self._time)):.2f} s; nothing is kept"
        )


def count_frames(path: Path) -> int:
    """Return how many frames the header of a video promises; 0 where it cannot be read."""
    try:
        with VideoReader(path) as reader:
            return reader.frame_count
    except VideoError:
        return 0


def _turned(pixels: Picture, matrix: bytes | None) -> Picture:
    """Return pixels (H, W, 3) turned and mirrored by a display matrix (3 x 3 int32, ISO/IEC 14496-12, section 6.2.2).

    Stored (x, y) is shown at (a x + c y, b x + d y), where the matrix begins a, b, _, c, d; it is rounded to quarters.
    """
    if matrix is None or len(matrix) < 36:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, np.int32, 5).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
