"""Where the results of videos go: videos of the same length, and the results of single frames."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from utils.prediction.names import FRAMES_SUFFIX
from utils.prediction.outputs import VIDEO_SUFFIX, PictureOutputs
from utils.prediction.record import Options
from utils.prediction.video import count_frames


@dataclass(frozen=True)
class VideoOutputs:
    """Which videos are made of a video, and whether each frame also gets the results of a picture."""

    folder: Path
    kinds: tuple[str, ...] = ("overlay",)
    each_frame: PictureOutputs | None = None

    def path(self, kind: str, name: str) -> Path:
        """Return where the video of a kind, a key of `VIDEO_KINDS`, goes."""
        return self.folder / kind / f"{name}{VIDEO_SUFFIX}"

    def results(self, name: str) -> dict[str, Options]:
        """Return the paths inside the folder of what is wanted of a video, with the options of each alone.

        The results of all frames are one: their folder.
        """
        paths = (self.path(kind, name) for kind in self.kinds)
        results: dict[str, Options] = {path.relative_to(self.folder).as_posix(): {} for path in paths}
        if self.each_frame is not None:
            own = self.each_frame.own_options
            results |= {f"{kind}/{frames_folder(name)}": own.get(kind, {}) for kind in self.each_frame.kinds}
        return results

    def complete(self, name: str) -> bool:
        """Return whether everything that is wanted of a video is there."""
        if not all(os.path.isfile(self.path(kind, name)) for kind in self.kinds):
            return False
        frames = range(count_frames(self.path(self.kinds[0], name))) if self.each_frame else ()
        return all(self.each_frame.complete(frame_name(name, index)) for index in frames if self.each_frame)

    def remove_frames(self, name: str, first: int) -> None:
        """Remove the results of frames from the index `first` on: those of a longer video that had this name."""
        if self.each_frame is not None:
            for kind in self.each_frame.kinds:
                paths = (self.each_frame.path(kind, frame_name(name, index)) for index in itertools.count(first))
                for path in itertools.takewhile(Path.is_file, paths):
                    path.unlink()


def frames_folder(video_name: str) -> str:
    """Return where the results of single frames go, inside the folder of their kind."""
    return f"{video_name}{FRAMES_SUFFIX}"


def frame_name(video_name: str, index: int) -> str:
    """Return what the results of a single frame are called."""
    return f"{frames_folder(video_name)}/{index:06d}"
