"""Videos written through PyAV: frames at the times of another video, and its sound."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from dataset.writing import whole_path
from utils.pictures.figures import Picture
from utils.prediction.video import VideoError, VideoReader

ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "20", "bf": "0"},
    "libopenh264": {"b": "8M"},
}
"""FFmpeg's encoders of H.264, of which the first that is there is taken, with options. Frames that are stored after
later ones (bf) would make players end a video of uneven times too early."""
COPIED_SOUND = ("aac", "mp3", "mp3float", "opus", "flac")
"""What browsers play in an MP4 file, by the names of FFmpeg's decoders; other sound is encoded as AAC."""
_AAC_RATES = (8000, 48000)
_PAUSE = Fraction(1, 10)
"""Seconds between two pieces of sound that are meant as a pause."""
_LIMITED_RANGE = 1
"""FFmpeg's number of the usual range of brightness, 16 .. 235."""


@contextlib.contextmanager
def write_video(path: Path, source: VideoReader) -> Iterator["VideoWriter"]:
    """Give a writer of an MP4 file, which gets its name `path` when the block ends without an error.

    Without a frame there is no file. Raises OSError, with `path`, where the disk does not take it, and VideoError where
    this cannot be made a video.
    """
    encoder = _find_encoder(source.av, path)
    with whole_path(path) as partial, _errors_told(source.av, path), VideoWriter(partial, source, encoder) as writer:
        yield writer
        writer.finish()


def _find_encoder(av: ModuleType, path: Path) -> str:
    for name in ENCODERS:
        with contextlib.suppress(ValueError):  # FFmpeg was built without it
            av.Codec(name, "w")
            return name
    raise VideoError(f"{path}: this PyAV can make none of {', '.join(ENCODERS)}; install another: pip install av")


class VideoWriter(contextlib.ExitStack):
    """An MP4 file with the sound of another video, from `write_video`.

    The first frame decides the size; others are scaled to it. Widths and heights are made even, as the format wants
    them, by repeating the last column or row.
    """

    def __init__(self, path: Path, source: VideoReader, encoder: str) -> None:
        super().__init__()
        self._path, self._source, self._encoder, self._av = path, source, encoder, source.av
        self._stream: Any = None

    def write(self, frame: Picture, time: Fraction) -> None:
        """Append a frame (H, W, 3) RGB that is to be seen from `time` on, in seconds; later than the one before."""
        height, width = frame.shape[:2]
        even = np.asarray(cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
        if self._stream is None:
            self._begin((even.shape[0], even.shape[1]))
        context = self._stream.codec_context
        if even.shape[:2] != (context.height, context.width):
            even = np.asarray(cv2.resize(even, (context.width, context.height), interpolation=cv2.INTER_AREA), np.uint8)
        rgb = self._av.VideoFrame.from_ndarray(even, format="rgb24")
        encoded = rgb.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
        encoded.pts, encoded.time_base = round(time / context.time_base), context.time_base
        self._container.mux(self._stream.encode(encoded))
        self._sound.copy_until(time)

    def finish(self) -> None:
        """Write what is left."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))
            self._sound.copy_until(None)
            self._container.close()

    def _begin(self, size: tuple[int, int]) -> None:
        # The table of contents comes first, so that browsers can begin before they have all of the file.
        container = self._av.open(str(self._path), "w", format="mp4", options={"movflags": "faststart"})
        self.callback(_close, container)
        stream = container.add_stream(self._encoder, rate=self._source.frame_rate, options=ENCODERS[self._encoder])
        context = stream.codec_context
        context.height, context.width = size
        context.pix_fmt = "yuv420p"
        # Said outright, or players would guess by the size.
        context.colorspace, context.color_range = self._av.video.reformatter.Colorspace.ITU601, _LIMITED_RANGE
        context.time_base = self._source.time_base
        self._sound = self.enter_context(_Sound(self._source, container))
        self._container, self._stream = container, stream


class _Sound(contextlib.ExitStack):
    """The sound of a video, brought into a new file bit by bit, so that little of it waits there for the frames."""

    def __init__(self, source: VideoReader, target: Any) -> None:
        super().__init__()
        # A reader of its own: frames and sound are in one file, but not needed at the same time.
        self._reader = self.enter_context(VideoReader(source.path))
        self._target = target
        streams = list(self._reader.container.streams.audio)
        self._tracks = {stream.index: self._new_track(stream) for stream in streams}
        self._packets = self._reader.container.demux(streams) if streams else iter(())
        self._next = next(self._packets, None)
        self._encoded_until: dict[int, Fraction] = {}

    def copy_until(self, time: Fraction | None) -> None:
        """Bring over what sounds until a time in seconds; all that is left where it is None."""
        while self._next is not None:
            packet = self._next
            if packet.dts is not None and time is not None and self._seconds(packet) > time:
                return
            self._copy(packet)
            self._next = next(self._packets, None)

    def _seconds(self, packet: Any) -> Fraction:
        return Fraction(packet.dts * packet.time_base) - self._reader.start

    def _new_track(self, stream: Any) -> Any:
        if _is_copied(stream):
            return self._target.add_stream_from_template(stream)
        layout = "mono" if stream.codec_context.layout.nb_channels == 1 else "stereo"
        return self._target.add_stream("aac", rate=int(np.clip(stream.rate, *_AAC_RATES)), layout=layout)

    def _copy(self, packet: Any) -> None:
        track, is_last = self._tracks[packet.stream.index], packet.dts is None
        if not _is_copied(packet.stream):
            for frame in packet.decode():
                self._place(frame, packet.stream.index)
                self._target.mux(track.encode(frame))
            if is_last:
                self._target.mux(track.encode(None))
        elif not is_last:
            offset = round(self._reader.start / packet.time_base)
            packet.pts, packet.dts = (packet.dts if packet.pts is None else packet.pts) - offset, packet.dts - offset
            packet.stream = track
            self._target.mux(packet)

    def _place(self, frame: Any, track: int) -> None:
        """Give sound that is to be encoded its time: right behind what came before, or after a pause."""
        rate = frame.sample_rate
        end = self._encoded_until.get(track)
        time = end or Fraction(0) if frame.pts is None else frame.pts * frame.time_base - self._reader.start
        if end is not None and time - end < _PAUSE:  # some containers give sound rough times
            time = end
        frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
        self._encoded_until[track] = Fraction(frame.pts + frame.samples, rate)


def _is_copied(stream: Any) -> bool:
    return stream.codec_context.name in COPIED_SOUND


def _close(container: Any) -> None:
    """Close a file of which, after an error, nothing will be kept."""
    with contextlib.suppress(Exception):
        container.close()


@contextlib.contextmanager
def _errors_told(av: ModuleType, path: Path) -> Iterator[None]:
    """Turn PyAV's errors into Python's own OSError, with the path of the file that is being made, or a VideoError."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise VideoError(f"{path}: PyAV cannot make this video ({error.strerror})") from error
