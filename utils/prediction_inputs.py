"""What a user names on the command line: pictures and videos, with names for their results; classes; boxes."""

import glob
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataset.descriptions import DatasetDescription
from dataset.files import read_text
from utils.picture_files import PICTURE_SUFFIXES
from utils.picture_input import Boxes
from utils.prediction_outputs import RESULT_SUFFIXES
from utils.prediction_pictures import foreground_classes

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
FRAMES_SUFFIX = ".frames"
"""Ends the names of the folders for the results of single video frames."""


class InputError(ValueError):
    """Nothing can be done with what the user named; the message says what to change."""


@dataclass(frozen=True)
class Source:
    """A picture or video, and what its results are called.

    relative: its path inside the folder that was named, or its file name; always with forward slashes.
    name: `relative` without the suffix, or longer where that would be another file's name too.
    """

    path: Path
    relative: str
    name: str

    @property
    def is_video(self) -> bool:
        return self.path.suffix.lower() in VIDEO_SUFFIXES


def find_sources(
    inputs: Sequence[str],
    skipped: Collection[Path] = (),
    on_unreadable: Callable[[OSError], object] = lambda _: None,
) -> list[Source]:
    """Return the pictures and videos that files, folders and glob patterns name, each of them once.

    Folders are searched to any depth for files with the suffixes of pictures and videos, without hidden files and
    without the folders `skipped`; patterns find folders, and files with these suffixes. A file that is named is taken
    whatever its suffix. Raises InputError for an input that is, or holds, nothing; `on_unreadable` gets the error of
    each folder that cannot be listed.
    """
    found: dict[Path, str] = {}
    errors: dict[str, OSError] = {}
    for text in inputs:
        known = len(errors)
        matches = [Path(text)] if os.path.exists(text) else _fitting(text, errors)
        pairs = [pair for match in matches for pair in _walk(match, skipped, errors)]
        unreadable = "".join(f"; {folder}: {error.strerror}" for folder, error in [*errors.items()][known:])
        if not matches:
            raise InputError(
                f"--input '{text}': there is no such file or folder, and no picture fits it as a pattern{unreadable}"
            )
        if not pairs:
            suffixes = " ".join(PICTURE_SUFFIXES + VIDEO_SUFFIXES)
            raise InputError(f"--input '{text}' holds no picture or video ({suffixes}){unreadable}")
        for path, relative in pairs:
            found.setdefault(Path(os.path.abspath(path)), relative)
    for error in errors.values():
        on_unreadable(error)
    names = _unique_names(found)
    return [Source(path, relative, names[path]) for path, relative in found.items()]


def _fitting(pattern: str, errors: dict[str, OSError]) -> list[Path]:
    """Return the folders, and the files that look like pictures or videos, which a pattern describes.

    `errors` gets those of the folders that cannot be searched for it, over which `glob` passes in silence.
    """
    try:
        os.stat(pattern)
    except PermissionError as error:
        errors[os.path.abspath(pattern)] = error
    except OSError:
        pass
    for folder in _searched(Path(pattern)):
        try:
            os.scandir(folder).close()
        except OSError as error:
            errors.setdefault(os.path.abspath(folder), error)
    paths = [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]
    return [path for path in paths if path.is_dir() or _has_known_suffix(path)]


def _searched(pattern: Path) -> Iterator[str]:
    """Yield the folders that `glob` must list to find what fits a pattern."""
    for index, part in enumerate(pattern.parts):
        if glob.has_magic(part):
            start = Path(*pattern.parts[: index + 1 if part == "**" else index])
            yield from (str(Path(folder)) for folder in glob.glob(f"{start}/", recursive=True))


def _has_known_suffix(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES + VIDEO_SUFFIXES


def _walk(path: Path, skipped: Collection[Path], errors: dict[str, OSError]) -> Iterator[tuple[Path, str]]:
    """Yield a file, or the pictures and videos in a folder in the order of their names, with relative paths.

    `errors` gets those of the folders that cannot be listed.
    """
    if not path.is_dir():
        yield path, path.name
        return

    def note(error: OSError) -> None:
        errors.setdefault(os.path.abspath(error.filename), error)

    seen = {os.path.realpath(folder) for folder in skipped}
    for folder, subfolders, files in os.walk(path, onerror=note, followlinks=True):
        if os.path.realpath(folder) in seen:  # left out, or a link that leads back
            subfolders.clear()
            continue
        seen.add(os.path.realpath(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and _has_known_suffix(Path(file)):
                yield Path(folder, file), Path(folder, file).relative_to(path).as_posix()


def _unique_names(found: dict[Path, str]) -> dict[Path, str]:
    """Name each file by its relative path without the suffix; where that meets another name, by more of its path.

    a.jpg and a.png of one folder become a.jpg and a.png in full; ann/front.jpg and bob/front.jpg, given as files,
    become ann/front and bob/front. Names that differ in capitals alone count as the same: on many disks they are.
    a.jpg beside a folder a.png/ is a.jpg in full, since its results could not have the folder's name. Whatever else
    there is, pictures in a folder clip.frames keep their suffix: clip.frames/000000 is a frame of the video clip.
    """
    full: set[Path] = set()
    depth = {path: len(PurePosixPath(relative).parts) for path, relative in found.items()}

    def name(path: Path) -> str:
        parts = path.parts[-depth[path] :]
        in_full = path in full or any(part.casefold().endswith(FRAMES_SUFFIX) for part in parts[:-1])
        return PurePosixPath(*parts[:-1], path.name if in_full else path.stem).as_posix()

    while True:
        before = len(full) + sum(depth.values())
        groups: dict[str, list[Path]] = defaultdict(list)
        for path in found:
            groups[name(path).casefold()].append(path)
        for group in groups.values():
            if len(group) == 1:
                continue
            if len({str(path.parent).casefold() for path in group}) == 1:
                full.update(group)
            else:
                depth.update({path: min(depth[path] + 1, len(path.parts) - 1) for path in group})
        folders = {str(parent).casefold() for path in found for parent in PurePosixPath(name(path)).parents}
        full |= {path for path in found if folders & {f"{name(path)}{end}".casefold() for end in RESULT_SUFFIXES}}
        if before == len(full) + sum(depth.values()):
            return {path: name(path) for path in found}


def kept_classes(names: Sequence[str] | None, description: DatasetDescription) -> list[int]:
    """Return the class indices that --keep names, in whatever capitals or as numbers."""
    if names is None:
        return foreground_classes(description)
    known = {name.casefold(): index for index, name in enumerate(description.class_names)}
    known |= {str(index): index for index in range(description.num_classes)}
    unknown = [name for name in names if name.casefold() not in known]
    if unknown:
        raise InputError(
            f"--keep: there is no class {', '.join(map(repr, unknown))}; the classes are "
            + ", ".join(f"{index} {name}" for index, name in enumerate(description.class_names))
        )
    return [known[name.casefold()] for name in names]


def read_boxes(file: Path, sources: Sequence[Source]) -> dict[str, Boxes]:
    """Return the person boxes in a JSON file by `Source.relative`; say which entries belong to no picture."""
    try:
        boxes = json.loads(read_text(file))
    except (OSError, ValueError) as error:
        raise InputError(f"--boxes '{file}' cannot be read as JSON ({error})") from error
    if not isinstance(boxes, dict) or not all(
        isinstance(entry, list) and all(isinstance(box, list) and len(box) == 4 for box in entry)
        for entry in boxes.values()
    ):
        raise InputError(f"--boxes '{file}' must hold {{\"photo.jpg\": [[x0, y0, x1, y1], ...], ...}}")
    strangers = sorted(boxes.keys() - {source.relative for source in sources})
    if len(strangers) == len(boxes):
        raise InputError(f"--boxes '{file}' names none of the pictures; its first entry is {[*strangers, None][0]!r}")
    if strangers:
        print(f"--boxes: {len(strangers)} entries belong to no picture, such as '{strangers[0]}'", file=sys.stderr)
    return boxes
