"""What the results of pictures and videos are called: names that never meet, and that disks take."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

SUFFIXES = {
    "masks": ".png",
    "overlay": ".jpg",
    "side_by_side": ".jpg",
    "cutout": ".png",
    "instances": ".png",
    "json": ".json",
    "logits": ".npz",
}
"""The kinds of results, which are the folders' names, and their files' suffixes."""
VIDEO_SUFFIX = ".mp4"
RESULT_SUFFIXES = (*SUFFIXES.values(), VIDEO_SUFFIX)
FRAMES_SUFFIX = ".frames"
"""Ends the names of the folders for the results of single video frames."""
NAME_BYTES = 255 - max(map(len, (*RESULT_SUFFIXES, FRAMES_SUFFIX)))
"""The longest name to which every one of these endings can be added: most disks take 255 bytes."""


def unique_names(found: Mapping[Path, str]) -> dict[Path, str]:
    """Name each file by its relative path without the suffix; where that meets another name, by more of its path.

    a.jpg and a.png of one folder become a.jpg and a.png in full; ann/front.jpg and bob/front.jpg, given as files,
    become ann/front and bob/front. Names that differ in capitals alone count as the same: on many disks they are.
    a.jpg beside a folder a.png/ is a.jpg in full, since its results could not have the folder's name. Whatever else
    there is, pictures in a folder clip.frames keep their suffix: clip.frames/000000 is a frame of the video clip.
    Of names too long for their results, see `shortened`.

    Args:
        found: the files, and their paths relative to what was named.
    """
    full: set[Path] = set()
    depth = {path: len(PurePosixPath(relative).parts) for path, relative in found.items()}

    def name(path: Path) -> str:
        parts = path.parts[-depth[path] :]
        in_full = path in full or any(part.casefold().endswith(FRAMES_SUFFIX) for part in parts[:-1])
        return PurePosixPath(*parts[:-1], shortened(path.name if in_full else path.stem)).as_posix()

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


def shortened(name: str, most: int = NAME_BYTES) -> str:
    """Return a name of at most `most` bytes: itself, or its beginning and a digest of all of it."""
    encoded = os.fsencode(name)
    if len(encoded) <= most:
        return name
    digest = "~" + hashlib.sha256(encoded).hexdigest()[:12]
    return encoded[: most - len(digest)].decode(errors="ignore") + digest


def frame_name(video_name: str, index: int) -> str:
    """Return what the results of a single frame of a video are called."""
    return f"{video_name}{FRAMES_SUFFIX}/{index:06d}"
