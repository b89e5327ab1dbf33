"""Runs over many pictures and over videos: reading, network and writing at the same time, in bounded memory."""

import errno
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataset.files import show
from utils.background import BoundedExecutor, prefetch
from utils.inference.canvas import Prediction
from utils.inference.human_parser import HumanParser
from utils.inference.inputs import Boxes, pixel_regions, rgb_picture
from utils.inference.options import PredictOptions
from utils.inference.people import Person, PersonDetector, parsed_boxes
from utils.pictures.figures import Picture
from utils.pictures.overlays import overlay_picture, side_by_side_picture
from utils.prediction.names import frame_name
from utils.prediction.outputs import PictureWriter
from utils.prediction.plan import Job
from utils.prediction.record import Fingerprint, PredictionRecord, fingerprint
from utils.prediction.tracking import people_in_frames
from utils.prediction.video import Frame, VideoError, VideoReader
from utils.prediction.video_writer import write_video
from utils.progress import Progress

NAME_ERRORS = (
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
)
"""Errors of writing that are about the name of one file; others, such as those of a full disk, concern all."""
VIDEO_KINDS = {"overlay": overlay_picture, "side_by_side": side_by_side_picture}


class _Item(NamedTuple):
    """A picture that has been read, and the people in whose boxes it is parsed; None where it is parsed whole."""

    job: Job
    content: Fingerprint
    picture: Picture
    people: list[Person] | None


@dataclass(frozen=True, kw_only=True)
class BulkParser:
    """Parses pictures and videos, writes their results and notes what they were made from.

    Both methods raise OSError where results cannot be written whatever their names. What concerns one input alone they
    return: a sentence about each that could not be read, or not to its end, or whose results cannot have their names.

    options: those of `HumanParser.predict`, with the batch size among them.
    detector: finds the people in pictures without boxes and in videos, each of whom is then parsed by himself.
    workers: threads that read, and as many that write.
    """

    parser: HumanParser
    options: PredictOptions
    detector: PersonDetector | None
    writer: PictureWriter
    record: PredictionRecord
    workers: int

    def parse_pictures(self, jobs: Sequence[Job], progress: Progress) -> list[str]:
        """Parse pictures. Where the detector finds nobody, all is background, which is said."""
        failures: list[str] = []
        empty: list[Path] = []

        def readable(items: Iterator[_Item | str]) -> Iterator[tuple[_Item, Picture, Boxes | None]]:
            for item in items:
                if isinstance(item, str):
                    failures.append(item)
                    progress.advance()
                elif item.job.boxes is None and self.detector is not None:
                    people = self.detector.detect(item.picture)
                    if not people:
                        empty.append(item.job.source.path)
                    yield item._replace(people=people), item.picture, parsed_boxes(people)
                else:
                    yield item, item.picture, item.job.boxes

        def write(item: _Item, prediction: Prediction) -> None:
            job = item.job
            try:
                self.record.forget(job.source.path, job.results)
                self.writer.write(job.source.name, item.picture, prediction, item.people)
                self.record.add(job.source.path, item.content, job.results, job.options)
            except OSError as error:
                failures.append(_refused_name(job.source.path, error))

        depth = self.options["batch_size"] + self.workers
        with (
            prefetch((partial(_read, job) for job in jobs), workers=self.workers, depth=depth) as items,
            BoundedExecutor(workers=self.workers, depth=2 * self.workers) as executor,
        ):
            for item, prediction in self.parser.predict_items(readable(items), **self.options):
                executor.submit(write, item, prediction)
                progress.advance()
        if empty:
            show(f"Nobody was found in {len(empty)} of {len(jobs)} pictures, such as '{empty[0]}': all background.")
        return failures

    def parse_video(self, job: Job, *, quiet: bool) -> list[str]:
        """Parse a video frame by frame; nothing is kept of one that cannot be read to its end."""
        source = job.source
        try:
            content = fingerprint(source.path)
        except OSError as error:
            return [f"{source.path}: cannot be read ({error.strerror})"]
        try:
            with VideoReader(source.path) as reader:
                self.record.forget(source.path, job.results)
                try:
                    with Progress(source.relative, reader.frame_count, "frames", quiet=quiet) as progress:
                        done = self._parse_frames(job, reader, progress)
                except VideoError:
                    job.outputs.remove_frames(source, 0)
                    raise
        except VideoError as error:
            return [str(error)]
        except OSError as error:
            return [_refused_name(source.path, error)]
        job.outputs.remove_frames(source, done)
        self.record.add(source.path, content, job.results, job.options)
        return []

    def _parse_frames(self, job: Job, reader: VideoReader, progress: Progress) -> int:
        """Parse frames in batches, write videos with their times; return how many there were."""
        name, outputs, description = job.source.name, job.outputs, self.parser.description
        batch_size = self.options["batch_size"]

        def write(index: int, frame: Frame, people: list[Person] | None, prediction: Prediction) -> None:
            for kind, video in videos.items():
                shown = VIDEO_KINDS[kind](frame.pixels, prediction.classes, description, shown=description.foreground)
                video.write(shown, frame.time)
            if outputs.each_frame:
                self.writer.write(frame_name(name, index), frame.pixels, prediction, people)

        done = 0
        with ExitStack() as stack:
            frames = stack.enter_context(prefetch(itertools.repeat(reader.read), workers=1, depth=2 * batch_size))
            videos = {
                kind: stack.enter_context(write_video(outputs.video_path(kind, name), reader))
                for kind in outputs.video_kinds
            }
            executor = stack.enter_context(BoundedExecutor(workers=1, depth=batch_size))
            items = people_in_frames(iter(partial(next, frames), None), self.detector)
            for (frame, people), prediction in self.parser.predict_items(items, **self.options):
                executor.submit(write, done, frame, people, prediction)
                done += 1
                progress.advance()
        return done


def _read(job: Job) -> _Item | str:
    """Return a picture, or why it cannot be parsed."""
    path = job.source.path
    people = None
    try:
        content = fingerprint(path)  # before its pixels: if it is replaced between the two, the next run sees that
        picture = rgb_picture(path)
        if job.boxes is not None:
            pixel_regions(job.boxes, (picture.shape[0], picture.shape[1]))  # raises for what the parser would refuse
            people = [Person((float(x0), float(y0), float(x1), float(y1))) for x0, y0, x1, y1 in job.boxes]
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror or error})"
    except (ValueError, MemoryError) as error:
        reason = str(error) or type(error).__name__
        return reason if str(path) in reason else f"{path}: {reason}"
    return _Item(job, content, picture, people)


def _refused_name(path: Path, error: OSError) -> str:
    """Return a disk's refusal of the name of a result as a sentence about its input; raise any other error again."""
    if error.errno not in NAME_ERRORS:
        raise error
    return f"{path}: its result '{error.filename}' cannot be written ({error.strerror})"
