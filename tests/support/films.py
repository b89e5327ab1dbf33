"""Small videos made for tests: any times, sound, rotation; and what is in a video file, read back by PyAV alone."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from utils.prediction.video import Frame, VideoReader

RATE = Fraction(25, 2)
TONE_RATE = 48000


def write_film(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    rate: Fraction = RATE,
    times: Sequence[Fraction] | None = None,
    sound: str | None = None,
    sound_start: Fraction = Fraction(0),
    rotation: int | None = None,
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures (H, W, 3) RGB as a video; `times` in seconds, `sound` an encoder that gets a tone of a second."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    codec = codec or ("mjpeg" if path.suffix == ".avi" else "mpeg4")
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options={"qscale": "2", "flags": "qscale"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        base = Fraction(1, 1000) if times else 1 / rate
        stream.codec_context.time_base = base
        if rotation is not None and not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV, of before 18.0, cannot write how a video is turned")
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track: Any = container.add_stream(sound, rate=TONE_RATE, layout="mono") if sound else None
        packets = []
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(times[number] / base) if times else number, base
            packets += stream.encode(frame)
        packets += stream.encode(None)
        if track is not None:
            packets += _tone(track, sound_start)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def all_frames(path: Path) -> list[Frame]:
    """Return the frames of a video as `VideoReader` reads them."""
    with VideoReader(path) as reader:
        return list(iter(reader.read, None))


def packets_of(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return the time in seconds and the bytes of each packet of a video's first stream of a kind, "audio" say."""
    import av

    with av.open(str(path)) as container:
        packets = container.demux(next(stream for stream in container.streams if stream.type == kind))
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.pts is not None]


def codecs_of(path: Path) -> list[tuple[str, str]]:
    """Return the codec of each stream, and its pixel format where it has one."""
    import av

    with av.open(str(path)) as container:
        contexts: list[Any] = [stream.codec_context for stream in container.streams]
        return [(context.name, getattr(context, "pix_fmt", "")) for context in contexts]


def _tone(track: Any, start: Fraction) -> list[Any]:
    import av

    packets, step = [], 960
    for first in range(0, TONE_RATE, step):
        wave = 0.3 * np.sin(2 * np.pi * 440 / TONE_RATE * np.arange(first, first + step))
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = TONE_RATE, Fraction(1, TONE_RATE)
        frame.pts = first + round(start * TONE_RATE)
        packets += track.encode(frame)
    return packets + track.encode(None)
