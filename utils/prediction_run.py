"""Runs over many pictures and over videos: reading, network and writing at the same time, in bounded memory."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from utils.background import WorkBehind, run_ahead, split
from utils.inference import HumanParser, LogitsSize, Prediction
from utils.picture_input import Boxes, pixel_regions, rgb_picture
from utils.pictures import Picture
from utils.prediction_inputs import FRAMES_SUFFIX, Source
from utils.prediction_outputs import VIDEO_SUFFIX, PictureOutputs, PictureWriter
from utils.prediction_pictures import foreground_classes, overlay_picture, side_by_side_picture
from utils.progress import Progress
from utils.video import VideoError, VideoReader, VideoWriter, count_frames

VIDEO_KINDS = {"overlay": overlay_picture, "side_by_side": side_by_side_picture}


@dataclass(frozen=True, kw_only=True)
class ParseOptions:
    """How the network is used; see `HumanParser.predict`. `workers` threads read, and as many write."""

    scales: Sequence[float] = (1.0,)
    mirror: bool = True
    batch_size: int = 8
    return_logits: LogitsSize | None = None
    workers: int = 2


@dataclass(frozen=True)
class VideoOutputs:
    """Which videos are made of a video, and whether each frame also gets the results of a picture."""

    folder: Path
    kinds: tuple[str, ...] = ("overlay",)
    each_frame: PictureOutputs | None = None

    def path(self, kind: str, name: str) -> Path:
        """Return where the video of a kind, a key of `VIDEO_KINDS`, goes."""
        return self.folder / kind / f"{name}{VIDEO_SUFFIX}"

    def complete(self, name: str) -> bool:
        """Return whether everything that is wanted of a video is there."""
        if not all(self.path(kind, name).is_file() for kind in self.kinds):
            return False
        frames = range(count_frames(self.path(self.kinds[0], name))) if self.each_frame else ()
        return all(self.each_frame.complete(frame_name(name, index)) for index in frames if self.each_frame)


class Failure(NamedTuple):
    """A file without a (whole) result, and why."""

    path: Path
    reason: str


class _Item(NamedTuple):
    """A picture that has been read."""

    source: Source
    picture: Picture
    boxes: Boxes | None


def parse_pictures(
    parser: HumanParser,
    sources: Sequence[Source],
    writer: PictureWriter,
    options: ParseOptions,
    *,
    boxes: Mapping[str, Boxes],
    shown: Progress,
) -> list[Failure]:
    """Parse pictures and write their results; return which could not be read.

    `boxes` are the person boxes by `Source.relative`; pictures without an entry are parsed whole. Raises OSError where
    results cannot be written.
    """
    failures: list[Failure] = []

    def readable(items: Iterator[_Item | Failure]) -> Iterator[_Item]:
        for item in items:
            if isinstance(item, Failure):
                failures.append(item)
                shown.advance()
            else:
                yield item

    tasks = (partial(_read, source, boxes.get(source.relative)) for source in sources)
    with (
        run_ahead(tasks, workers=options.workers, depth=options.batch_size + options.workers) as items,
        WorkBehind(workers=options.workers, depth=2 * options.workers) as behind,
    ):
        # One pass over the pictures, seen three times, the last time when the network is done with them.
        kept, pictures, person_boxes = split(readable(items), 3)
        predictions = parser.predict_iter(
            (item.picture for item in pictures),
            scales=options.scales,
            mirror=options.mirror,
            batch_size=options.batch_size,
            person_boxes=(item.boxes for item in person_boxes),
            return_logits=options.return_logits,
        )
        for item, prediction in zip(kept, predictions, strict=True):
            behind.submit(writer.write, item.source.name, item.picture, prediction)
            shown.advance()
    return failures


def _read(source: Source, boxes: Boxes | None) -> _Item | Failure:
    try:
        picture = rgb_picture(source.path)
        if boxes is not None:
            pixel_regions(boxes, (picture.shape[0], picture.shape[1]))  # raises for what the parser would refuse
    except (ValueError, OSError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return Failure(source.path, reason if str(source.path) in reason else f"{source.path}: {reason}")
    return _Item(source, picture, boxes)


def parse_video(
    parser: HumanParser,
    source: Source,
    outputs: VideoOutputs,
    writer: PictureWriter,
    options: ParseOptions,
) -> Failure | None:
    """Parse a video frame by frame, in batches, and write videos with its frame rate; `writer` is for single frames.

    Returns what is wrong with a video that cannot be read, or not to its end (what was read then counts). Raises
    OSError where results cannot be written.
    """
    shown = foreground_classes(parser.description)

    def write(index: int, frame: Picture, prediction: Prediction) -> None:
        for kind, video in videos.items():
            video.write(VIDEO_KINDS[kind](frame, prediction.classes, parser.description, shown=shown))
        if outputs.each_frame is not None:
            writer.write(frame_name(source.name, index), frame, prediction)

    done = 0
    try:
        with ExitStack() as stack:
            reader = stack.enter_context(VideoReader(source.path))
            frames = stack.enter_context(
                run_ahead(itertools.repeat(reader.read), workers=1, depth=2 * options.batch_size)
            )
            videos = {
                kind: stack.enter_context(VideoWriter(outputs.path(kind, source.name), reader.frame_rate))
                for kind in outputs.kinds
            }
            shown_progress = stack.enter_context(Progress(source.relative, reader.frame_count, "frames"))
            behind = stack.enter_context(WorkBehind(workers=1, depth=options.batch_size))
            kept, pictures = split(_until_none(frames), 2)
            predictions = parser.predict_iter(
                pictures,
                scales=options.scales,
                mirror=options.mirror,
                batch_size=options.batch_size,
                return_logits=options.return_logits,
            )
            for frame, prediction in zip(kept, predictions, strict=True):
                behind.submit(write, done, frame, prediction)
                done += 1
                shown_progress.advance()
    except VideoError as error:
        return Failure(source.path, str(error))
    if done == 0:
        return Failure(source.path, f"{source.path}: no frame of this video can be decoded")
    if done < 0.95 * reader.frame_count:  # some formats only estimate the count
        return Failure(source.path, f"{source.path}: ends after {done} of about {reader.frame_count} frames")
    return None


def frame_name(video_name: str, index: int) -> str:
    """Return what the results of a single frame are called."""
    return f"{video_name}{FRAMES_SUFFIX}/{index:06d}"


def _until_none(frames: Iterator[Picture | None]) -> Iterator[Picture]:
    for frame in frames:
        if frame is None:
            return
        yield frame
