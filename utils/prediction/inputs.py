"""What a user names on the command line: pictures and videos, with names for their results; classes; boxes."""

import glob
import json
import os
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dataset.descriptions import DatasetDescription
from dataset.files import parse_json, read_text, show, visible_files
from utils.inference.inputs import Boxes
from utils.inference.picture_files import OTHER_SUFFIXES, PICTURE_SUFFIXES
from utils.prediction.names import unique_names

BOXES_FORM = '{"photo.jpg": [[x0, y0, x1, y1], ...], ...}'
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v")
READ_SUFFIXES = PICTURE_SUFFIXES + VIDEO_SUFFIXES


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


class Found(NamedTuple):
    """What there is to parse, and what is not parsed: other pictures and videos, and folders that cannot be listed."""

    sources: list[Source]
    left_out: list[Path]
    unreadable: list[OSError]


def find_sources(inputs: Sequence[str], skipped: Collection[Path] = ()) -> Found:
    """Return the pictures and videos that files, folders and glob patterns name, each of them once.

    Folders are searched to any depth for files with the suffixes of pictures and videos, without hidden files and
    without the folders `skipped`; patterns find folders, and files with these suffixes. A file that is named is taken
    whatever its suffix. Raises InputError for an input that is, or holds, nothing.
    """
    found: dict[Path, str] = {}
    left_out: dict[Path, None] = {}
    unreadable: dict[str, OSError] = {}
    for text in inputs:
        exists = os.path.exists(text)
        if exists and not os.path.isdir(text):
            found.setdefault(Path(os.path.abspath(text)), Path(text).name)
            continue
        errors: dict[str, OSError] = {}
        roots = [Path(text)] if exists else _fitting(text, errors)
        listed = {Path(os.path.abspath(path)): name for root in roots for path, name in _walk(root, skipped, errors)}
        files = {path: name for path, name in listed.items() if path.suffix.lower() in READ_SUFFIXES}
        others = [path for path in listed if path.suffix.lower() in OTHER_SUFFIXES]
        if not files:
            raise InputError(_nothing_found(text, exists or any(root.is_dir() for root in roots), others, errors))
        found |= {path: name for path, name in files.items() if path not in found}
        left_out |= dict.fromkeys(others)
        unreadable |= {path: error for path, error in errors.items() if path not in unreadable}
    names = unique_names(found)
    sources = [Source(path, relative, names[path]) for path, relative in found.items()]
    return Found(sources, [path for path in left_out if path not in found], list(unreadable.values()))


def counted_suffixes(paths: Sequence[Path]) -> str:
    """Return how many files there are of each suffix: "12 .cr2, 1 .psd"."""
    counts = Counter(path.suffix.lower() for path in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())


def _nothing_found(text: str, is_folder: bool, others: Sequence[Path], errors: dict[str, OSError]) -> str:
    if errors:
        message = f"--input '{text}': no picture or video was found, and not all can be read"
    elif is_folder:
        message = f"--input '{text}' holds no picture or video ({' '.join(READ_SUFFIXES)})"
    else:
        message = f"--input '{text}': there is no such file or folder, and no picture fits it as a pattern"
    if others:
        message += f"; {counted_suffixes(others)} are of formats that are not read"
    return message + "".join(f"; {folder}: {error.strerror}" for folder, error in errors.items())


def _fitting(pattern: str, errors: dict[str, OSError]) -> list[Path]:
    """Return the folders and files which a pattern describes.

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
    return [Path(match) for match in sorted(glob.glob(pattern, recursive=True))]


def _searched(pattern: Path) -> Iterator[str]:
    """Yield the folders that `glob` must list to find what fits a pattern."""
    for index, part in enumerate(pattern.parts):
        if glob.has_magic(part):
            start = Path(*pattern.parts[: index + 1 if part == "**" else index])
            yield from (str(Path(folder)) for folder in glob.glob(f"{start}/", recursive=True))


def _walk(path: Path, skipped: Collection[Path], errors: dict[str, OSError]) -> Iterator[tuple[Path, str]]:
    """Yield a file, or the visible files in a folder in the order of their names, with relative paths.

    `errors` gets those of the folders that cannot be listed.
    """
    if path.is_dir():
        names = visible_files(
            path,
            on_unreadable=lambda error: errors.setdefault(os.path.abspath(error.filename), error),
            skipped=skipped,
        )
        yield from ((path / name, name) for name in names)
    else:
        yield path, path.name


def kept_classes(names: Sequence[str] | None, description: DatasetDescription) -> list[int]:
    """Return the class indices that --keep names, in whatever capitals or as numbers."""
    if names is None:
        return list(description.foreground)
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
        boxes = parse_json(read_text(file))
    except (OSError, ValueError) as error:
        raise InputError(f"--boxes '{file}' cannot be read as JSON ({error})") from error
    if not isinstance(boxes, dict) or not boxes:
        raise InputError(f"--boxes '{file}' holds {_json(boxes)}; it must hold {BOXES_FORM}")
    for name, entry in boxes.items():
        _check_boxes(entry, f"--boxes '{file}': {name!r} has")
    strangers = sorted(boxes.keys() - {source.relative for source in sources})
    if len(strangers) == len(boxes):
        first = next((source.relative for source in sources), None)
        raise InputError(
            f"--boxes '{file}' names none of the pictures: its first entry is {strangers[0]!r}, the first picture "
            f"{first!r}; entries are paths inside the input folder"
        )
    if strangers:
        show(f"--boxes: {len(strangers)} entries belong to no picture, such as {strangers[0]!r}", to=sys.stderr)
    return boxes


def _check_boxes(entry: Any, where: str) -> None:
    """Raise InputError, which begins with `where`, for a value from JSON that is no list of boxes."""
    if not isinstance(entry, list) or any(isinstance(side, int | float) for side in entry):  # a single box, say
        fault = f"{_json(entry)}, which is no list of boxes"
    elif wrong := [box for box in entry if not _is_box(box)]:
        fault = f"{_json(wrong[0])} among its boxes, which is not four finite numbers"
    else:
        return
    raise InputError(f"{where} {fault}; the file must hold {BOXES_FORM}, even a single box in a list")


def _json(value: Any) -> str:
    """Return a value from JSON as it stands there (null, NaN), cut where it is long."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "lists or objects that are nested too deeply"
    return text if len(text) <= 80 else f"{text[:80]}..."


def _is_box(box: Any) -> bool:
    """Return whether a value from JSON is four finite numbers; whole numbers there may be larger than any float."""
    if not isinstance(box, list) or len(box) != 4:
        return False
    return all(type(side) in (int, float) and abs(side) <= sys.float_info.max for side in box)
