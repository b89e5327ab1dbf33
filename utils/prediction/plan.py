"""What a run of `predict.py` has to do: which results are wanted, and which of them are there and up to date."""

import itertools
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from utils.background import prefetch
from utils.inference.inputs import Boxes
from utils.prediction.inputs import Source
from utils.prediction.names import FRAMES_SUFFIX, SUFFIXES, VIDEO_SUFFIX, frame_name
from utils.prediction.record import Options, PredictionRecord
from utils.prediction.video import count_frames


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Which results are wanted, and where they go.

    kinds: of a picture's results, keys of `SUFFIXES`; "masks" is the class map itself.
    video_kinds: those of which a video is made of a video.
    each_frame: whether each frame of a video also gets the results of a picture.
    own_options: by kind, the options that matter to it alone.
    """

    folder: Path
    kinds: tuple[str, ...]
    video_kinds: tuple[str, ...]
    each_frame: bool
    own_options: Mapping[str, Options]

    def path(self, kind: str, name: str) -> Path:
        """Return the file for one kind of result of the picture or frame called `name` (which may have folders)."""
        return self.folder / kind / f"{name}{SUFFIXES[kind]}"

    def video_path(self, kind: str, name: str) -> Path:
        """Return the file for the video of a kind that is made of the video called `name`."""
        return self.folder / kind / f"{name}{VIDEO_SUFFIX}"

    def complete(self, source: Source) -> bool:
        """Return whether everything that is wanted of an input is there."""
        names = [source.name]
        if source.is_video:
            videos = [self.video_path(kind, source.name) for kind in self.video_kinds]
            if not all(map(os.path.isfile, videos)):
                return False
            frames = range(count_frames(videos[0])) if self.each_frame else ()
            names = [frame_name(source.name, index) for index in frames]
        # `Path.is_file` would raise an error for impossible names.
        return all(os.path.isfile(self.path(kind, name)) for name in names for kind in self.kinds)

    def remove_frames(self, source: Source, first: int) -> None:
        """Remove the results of frames from the index `first` on: those of a longer video that had this name."""
        for kind in self.kinds if self.each_frame else ():
            paths = (self.path(kind, frame_name(source.name, index)) for index in itertools.count(first))
            for path in itertools.takewhile(Path.is_file, paths):
                path.unlink()


@dataclass(frozen=True)
class Job:
    """What is to be made of a picture or video.

    options: those that matter to all of its results, for `PredictionRecord`.
    boxes: the person boxes in a picture, where they are given.
    """

    source: Source
    outputs: Outputs
    options: Options
    boxes: Boxes | None = None

    @property
    def results(self) -> dict[str, Options]:
        """The paths of its results inside the output folder, with the options that matter to each alone.

        Those of all frames of a video are one: their folder.
        """
        name, outputs = self.source.name, self.outputs
        kinds = {kind: outputs.own_options.get(kind, {}) for kind in outputs.kinds}
        if not self.source.is_video:
            return {f"{kind}/{name}{SUFFIXES[kind]}": own for kind, own in kinds.items()}
        videos: dict[str, Options] = {f"{kind}/{name}{VIDEO_SUFFIX}": {} for kind in outputs.video_kinds}
        frames = {f"{kind}/{name}{FRAMES_SUFFIX}": own for kind, own in kinds.items()}
        return videos | frames if outputs.each_frame else videos


@dataclass(frozen=True)
class Plan:
    """The work of a run.

    jobs: of all inputs.
    todo: those of them whose results are to be made.
    reasons: those of `todo` whose results are all there, by what is wrong with them.
    """

    jobs: Sequence[Job]
    todo: Sequence[Job]
    reasons: Mapping[str, Sequence[Job]]


def make_plan(jobs: Sequence[Job], record: PredictionRecord, *, overwrite: bool) -> Plan:
    """Return which results are to be made: all of them, or those that are missing or are not what they should be."""
    if overwrite:
        return Plan(jobs, jobs, {})
    todo, reasons = [], defaultdict(list)
    with prefetch((partial(_objection, job, record) for job in jobs), workers=8, depth=64) as objections:
        for job, reason in zip(jobs, objections, strict=True):
            if reason is not None:
                todo.append(job)
            if reason:
                reasons[reason].append(job)
    return Plan(jobs, todo, reasons)


def _objection(job: Job, record: PredictionRecord) -> str | None:
    """Return what is wrong with the results of a job, "" if that goes without saying; None where nothing is."""
    if not job.outputs.complete(job.source):
        return ""
    try:
        return record.objection(job.source.path, job.results, job.options)
    except OSError:  # the input cannot be read; who tries to parse it says so
        return ""
