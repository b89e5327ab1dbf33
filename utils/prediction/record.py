"""What the results in an output folder were made from, so that a later run knows which of them it may keep."""

import contextlib
import hashlib
import json
import os
import threading
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dataset.files import open_regular, parse_json
from utils.files import append_line

RECORD_FILE = "predictions.jsonl"

Options = Mapping[str, Any]
"""What decides how a result looks, by the names of the options, as plain JSON types."""


class Fingerprint(NamedTuple):
    """A file's state, and its content when it was in that state."""

    state: tuple[int, ...]
    sha256: str


class _Origin(NamedTuple):
    """What one result was made from, and with which options."""

    input: str
    fingerprint: Fingerprint
    options: Options


class PredictionRecord:
    """The file `predictions.jsonl` in an output folder: a line for each input that was parsed, the last one counts.

    A line is a JSON object: `input`, the absolute path of the picture or video; `results`, the paths of its results
    inside the folder, each with the options that matter to it alone; `options`, those that matter to all of them;
    `sha256` and `state` of the input. A line without them says that the results are being replaced.

    Lines are appended whole, so several runs may write at once. What is no such line, as a killed run or a full disk
    may leave, counts as none: its results are then made again. Safe to use from several threads.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD_FILE
        self._lock = threading.Lock()
        self._origins: dict[str, _Origin | None] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in self.path.read_bytes().split(b"\n"):
                self._origins.update(_read_line(line))

    def objection(self, path: Path, results: Mapping[str, Options], options: Options) -> str | None:
        """Return why existing results are not what an input would give with these options, or None where they are.

        The reason continues a sentence: "The results were made from another file".

        Args:
            path: the picture or video.
            results: the paths of its results inside the folder, with the options that matter to each alone.
            options: those that matter to all of them.

        The input is read only where its state has changed. Where its content has not, the new state is noted. Raises
        OSError where it cannot be read.
        """
        origins = [self._origins.get(_key(result)) for result in results]
        known = [origin for origin in origins if origin is not None]
        if len(known) < len(results):
            return f"are not in {RECORD_FILE}"
        pairs = zip(known, results.values(), strict=True)
        differing = {name for origin, own in pairs for name in _differing(origin.options, {**options, **own})}
        if differing:
            return f"were made with other options ({', '.join(f'--{name}' for name in sorted(differing))})"
        state = file_state(path)
        if all(origin.fingerprint.state == state for origin in known):
            return None
        now = fingerprint(path)
        changed = [origin for origin in known if origin.fingerprint.sha256 != now.sha256]
        if changed:
            replaced = changed[0].input == os.path.abspath(path)
            return "were made before this file was changed" if replaced else "were made from another file"
        with contextlib.suppress(OSError):  # the note only spares the next run the reading
            self.add(path, now, results, options)
        return None

    def forget(self, path: Path, results: Mapping[str, Options]) -> None:
        """Note that results are about to be replaced: a run killed on the way must not leave a line that is wrong."""
        if any(self._origins.get(_key(result)) for result in results):
            self._append({"input": os.path.abspath(path), "results": dict(results)})

    def add(self, path: Path, content: Fingerprint, results: Mapping[str, Options], options: Options) -> None:
        """Note what results were made from; raises OSError where the disk does not take it."""
        values = {"input": os.path.abspath(path), "results": dict(results), "options": dict(options)}
        self._append({**values, "sha256": content.sha256, "state": content.state})

    def _append(self, values: Mapping[str, Any]) -> None:
        line = json.dumps(values).encode()
        with self._lock:
            append_line(self.path, line)
            self._origins.update(_read_line(line))


def file_state(path: Path) -> tuple[int, ...]:
    """Return by what an untouched file is known without reading it: whoever changes it cannot keep all four numbers."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def fingerprint(path: Path) -> Fingerprint:
    """Return a file's state and content; if it changes meanwhile, the state is the earlier one, which is safe."""
    state = file_state(path)
    return Fingerprint(state, file_sha256(path))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_line(line: bytes) -> dict[str, _Origin | None]:
    """Return what a line says of the origin of each result it names, by `_key`; nothing where it is no whole line."""
    try:
        values = parse_json(line)
        results = {_key(result): dict(own) for result, own in values["results"].items()}
        if "sha256" not in values:
            return dict.fromkeys(results)
        content = Fingerprint(tuple(values["state"]), values["sha256"])
        common = dict(values["options"])
        return {key: _Origin(values["input"], content, {**common, **own}) for key, own in results.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}


def _key(result: str) -> str:
    """Return a result's path so that two spellings of which some disk makes one file are one key."""
    return unicodedata.normalize("NFC", result.casefold())


def _differing(first: Options, second: Options) -> set[str]:
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
