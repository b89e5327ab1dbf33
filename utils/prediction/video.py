"""Videos through OpenCV: frames in, frames out, never all of them in memory."""

import math
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from dataset.files import open_regular
from utils.files import whole_path
from utils.pictures.figures import Picture

FALLBACK_RATE = 25.0


class VideoError(ValueError):
    """A video cannot be read or written; the message says which and why."""


class VideoReader:
    """The frames of a video, one after the other; used as a context manager.

    frame_rate: frames per second, on average where it varies; 25 where the file does not say.
    frame_count: what the file's header promises; 0 where it promises nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        open_regular(path).close()  # OpenCV would wait at a pipe for its other end
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise VideoError(f"{path}: OpenCV cannot open this as a video; the file is damaged or of another format")
        rate, count = (self._capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.frame_rate = rate if math.isfinite(rate) and rate > 0 else FALLBACK_RATE
        self.frame_count = int(count) if math.isfinite(count) and count > 0 else 0

    def read(self) -> Picture | None:
        """Return the next frame (H, W, 3) RGB, upright; None after the last one."""
        there, frame = self._capture.read()
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8) if there else None

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()


class VideoWriter:
    """An MP4 file (MPEG-4, without sound) that appears when all its frames are written; used as a context manager.

    The first frame decides the size. Widths and heights are made even, as the format wants them, by repeating the
    last column or row.
    """

    def __init__(self, path: Path, frame_rate: float) -> None:
        self.path = path
        self.frame_rate = frame_rate
        self._file = ExitStack()
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Picture) -> None:
        """Append a frame (H, W, 3) RGB of the same size as the first."""
        height, width = frame.shape[:2]
        even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        if self._writer is None:
            partial = self._file.enter_context(whole_path(self.path))  # with the suffix, which OpenCV goes by
            size = (even.shape[1], even.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(partial), code, self.frame_rate, size)
            if not self._writer.isOpened():
                raise VideoError(f"{self.path}: OpenCV cannot write an MP4 video of {size[0]} x {size[1]} pixels here")
        self._writer.write(cv2.cvtColor(even, cv2.COLOR_RGB2BGR))

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        self._file.__exit__(kind, error, traceback)


def count_frames(path: Path) -> int:
    """Return how many frames the header of a video promises; 0 where it cannot be read."""
    try:
        with VideoReader(path) as reader:
            return reader.frame_count
    except VideoError:
        return 0
