"""Runs over many pictures and over videos: reading, network and writing at the same time, in bounded memory."""

import errno
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from dataset.files import show
from utils.background import BoundedExecutor, prefetch
from utils.inference.canvas import Prediction
from utils.inference.human_parser import HumanParser
from utils.inference.inputs import Boxes, PictureLike, pixel_regions, rgb_picture
from utils.inference.options import Borders, LogitsSize
from utils.inference.people import Person, PersonDetector, parsed_boxes
from utils.pictures.figures import Picture
from utils.pictures.overlays import overlay_picture, side_by_side_picture
from utils.prediction.inputs import Source
from utils.prediction.outputs import PictureOutputs, PictureWriter
from utils.prediction.record import Fingerprint, Options, PredictionRecord, fingerprint
from utils.prediction.tracking import people_in_frames
from utils.prediction.video import Frame, VideoError, VideoReader
from utils.prediction.video_outputs import VideoOutputs, frame_name
from utils.prediction.video_writer import write_video
from utils.progress import Progress

NAME_ERRORS = (
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
)
"""Errors of writing that are about the name of one file; others, such as those of a full disk, concern all."""
VIDEO_KINDS = {"overlay": overlay_picture, "side_by_side": side_by_side_picture}
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ParseOptions:
    """How the network is used; see `HumanParser.predict`. `workers` threads read, and as many write.

    detector: finds the people in pictures without boxes and in videos, each of whom is then parsed by himself.
    """

    scales: Sequence[float] = (1.0,)
    mirror: bool = True
    batch_size: int = 8
    borders: Borders = "smooth"
    return_logits: LogitsSize | None = None
    alpha_of: Sequence[int] | None = None
    detector: PersonDetector | None = None
    workers: int = 2

    def predictions(
        self, parser: HumanParser, items: Iterable[tuple[T, PictureLike, Boxes | None]]
    ) -> Iterator[tuple[T, Prediction]]:
        """Yield what `HumanParser.predict_items` does with these options."""
        return parser.predict_items(
            items,
            scales=self.scales,
            mirror=self.mirror,
            batch_size=self.batch_size,
            borders=self.borders,
            return_logits=self.return_logits,
            alpha_of=self.alpha_of,
        )


@dataclass(frozen=True)
class Job:
    """What is to be made of a picture or video.

    options: those that matter to all of its results, for `PredictionRecord`.
    boxes: the person boxes in a picture, where they are given.
    """

    source: Source
    outputs: PictureOutputs | VideoOutputs
    options: Options
    boxes: Boxes | None = None

    @property
    def results(self) -> dict[str, Options]:
        """The paths of its results inside the output folder, with the options that matter to each alone."""
        return self.outputs.results(self.source.name)

    @property
    def complete(self) -> bool:
        """Whether there is a file for each result."""
        return self.outputs.complete(self.source.name)


class Failure(NamedTuple):
    """A file without a (whole) result, and why."""

    path: Path
    reason: str


class _Item(NamedTuple):
    """A picture that has been read, and the people in whose boxes it is parsed; None where it is parsed whole."""

    job: Job
    content: Fingerprint
    picture: Picture
    people: list[Person] | None


def parse_pictures(
    parser: HumanParser,
    jobs: Sequence[Job],
    writer: PictureWriter,
    record: PredictionRecord,
    options: ParseOptions,
    *,
    progress: Progress,
) -> list[Failure]:
    """Parse pictures, write their results and note what they were made from; return which could not be read or named.

    Where a detector finds nobody, all is background, which is said. Raises OSError where results cannot be written
    whatever their names.
    """
    failures: list[Failure] = []
    empty: list[Path] = []

    def readable(items: Iterator[_Item | Failure]) -> Iterator[tuple[_Item, Picture, Boxes | None]]:
        for item in items:
            if isinstance(item, Failure):
                failures.append(item)
                progress.advance()
            elif item.job.boxes is None and options.detector is not None:
                people = options.detector.detect(item.picture)
                if not people:
                    empty.append(item.job.source.path)
                yield item._replace(people=people), item.picture, parsed_boxes(people)
            else:
                yield item, item.picture, item.job.boxes

    def write(item: _Item, prediction: Prediction) -> None:
        job = item.job
        try:
            record.forget(job.source.path, job.results)
            writer.write(job.source.name, item.picture, prediction, item.people)
            record.add(job.source.path, item.content, job.results, job.options)
        except OSError as error:
            failures.append(_refused_name(job.source.path, error))

    with (
        prefetch(
            (partial(_read, job) for job in jobs), workers=options.workers, depth=options.batch_size + options.workers
        ) as items,
        BoundedExecutor(workers=options.workers, depth=2 * options.workers) as executor,
    ):
        for item, prediction in options.predictions(parser, readable(items)):
            executor.submit(write, item, prediction)
            progress.advance()
    if empty:
        show(f"Nobody was found in {len(empty)} of {len(jobs)} pictures, such as '{empty[0]}': all background.")
    return failures


def _read(job: Job) -> _Item | Failure:
    path = job.source.path
    people = None
    try:
        content = fingerprint(path)  # before its pixels: if it is replaced between the two, the next run sees that
        picture = rgb_picture(path)
        if job.boxes is not None:
            pixel_regions(job.boxes, (picture.shape[0], picture.shape[1]))  # raises for what the parser would refuse
            people = [Person((float(x0), float(y0), float(x1), float(y1))) for x0, y0, x1, y1 in job.boxes]
    except OSError as error:
        return Failure(path, f"{path}: cannot be read ({error.strerror or error})")
    except (ValueError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return Failure(path, reason if str(path) in reason else f"{path}: {reason}")
    return _Item(job, content, picture, people)


def _refused_name(path: Path, error: OSError) -> Failure:
    """Return a disk's refusal of the name of a result as the failure of its input; raise any other error again."""
    if error.errno not in NAME_ERRORS:
        raise error
    return Failure(path, f"{path}: its result '{error.filename}' cannot be written ({error.strerror})")


def parse_video(
    parser: HumanParser,
    job: Job,
    outputs: VideoOutputs,
    writer: PictureWriter,
    record: PredictionRecord,
    options: ParseOptions,
    *,
    quiet: bool = False,
) -> Failure | None:
    """Parse a video frame by frame, write its results and note what they were made from.

    Returns what is wrong with a video that cannot be read to its end, of which nothing is kept then, or with the names
    of its results. Raises OSError where results cannot be written whatever their names.
    """
    source = job.source
    try:
        content = fingerprint(source.path)
    except OSError as error:
        return Failure(source.path, f"{source.path}: cannot be read ({error.strerror})")
    try:
        with VideoReader(source.path) as reader:
            record.forget(source.path, job.results)
            try:
                with Progress(source.relative, reader.frame_count, "frames", quiet=quiet) as progress:
                    done = _parse_frames(parser, source, reader, outputs, writer, options, progress=progress)
            except VideoError:
                outputs.remove_frames(source.name, 0)
                raise
    except VideoError as error:
        return Failure(source.path, str(error))
    except OSError as error:
        return _refused_name(source.path, error)
    outputs.remove_frames(source.name, done)
    record.add(source.path, content, job.results, job.options)
    return None


def _parse_frames(
    parser: HumanParser,
    source: Source,
    reader: VideoReader,
    outputs: VideoOutputs,
    writer: PictureWriter,
    options: ParseOptions,
    *,
    progress: Progress,
) -> int:
    """Parse frames in batches, write videos with their times; return how many there were.

    `writer` is for single frames.
    """
    classes = parser.description.foreground

    def write(index: int, frame: Frame, people: list[Person] | None, prediction: Prediction) -> None:
        for kind, video in videos.items():
            video.write(
                VIDEO_KINDS[kind](frame.pixels, prediction.classes, parser.description, shown=classes), frame.time
            )
        if outputs.each_frame is not None:
            writer.write(frame_name(source.name, index), frame.pixels, prediction, people)

    done = 0
    with ExitStack() as stack:
        frames = stack.enter_context(prefetch(itertools.repeat(reader.read), workers=1, depth=2 * options.batch_size))
        videos = {
            kind: stack.enter_context(write_video(outputs.path(kind, source.name), reader)) for kind in outputs.kinds
        }
        executor = stack.enter_context(BoundedExecutor(workers=1, depth=options.batch_size))
        items = people_in_frames(_until_none(frames), options.detector)
        for (frame, people), prediction in options.predictions(parser, items):
            executor.submit(write, done, frame, people, prediction)
            done += 1
            progress.advance()
    return done


def _until_none(frames: Iterator[Frame | None]) -> Iterator[Frame]:
    for frame in frames:
        if frame is None:
            return
        yield frame
