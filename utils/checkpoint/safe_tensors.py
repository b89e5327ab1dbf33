"""The safetensors format: tensors, and a header of text; nothing in it can run.

A file is the length N of its header (8 bytes, little-endian), the header (N bytes of JSON: of each tensor its type,
shape and place, and texts under `__metadata__`), and the tensors' bytes. Source: the package's description at
https://github.com/huggingface/safetensors#format. The package is imported where a file is read: everything else does
without it.
"""

import io
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from dataset.files import parse_json

SUFFIX = ".safetensors"
LARGEST_HEADER = 2**24
"""Bytes; a header here has 150 thousand. It is parsed as a whole, so a file must not make it arbitrarily long."""
_CHECKSUM = "crc32"
"""Where the metadata of export.py's files have the checksum of all else; the format itself has none."""
_CHUNK = 2**24
_OTHERS = (b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
"""What PyTorch's own files begin with: archives, pickles."""


def is_safetensors(start: bytes, path: Path) -> bool:
    """Return whether a file that begins with `start` is one, or by its name should be."""
    if start[4:9] == b"\0\0\0\0{":  # a length below 4 GiB, and the header's brace
        return True
    named_so = path.suffix.lower() == SUFFIX
    return named_so and not start.startswith(_OTHERS)


def read_safetensors(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Return the content of a file as that of a checkpoint: its tensors by name in "model", and, where export.py wrote
    it, "description" and "input_size" from its metadata.

    The header is judged before anything else is read. Raises ValueError with the reason for a file that is damaged or
    was changed, ImportError without the package.
    """
    header = _read_header(file)
    metadata = header.get("__metadata__", {})
    is_own = metadata.get("producer") == "CSENet"
    if is_own and _CHECKSUM in metadata and metadata[_CHECKSUM] != _checksum(file, header):
        raise ValueError(f"its content is not that of the {_CHECKSUM} in its metadata")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:  # which compares types, shapes and places with the file's size
            content: dict[str, Any] = {"model": {name: opened.get_tensor(name) for name in opened.keys()}}  # noqa: SIM118
    except (SafetensorError, AttributeError, OverflowError, RuntimeError, TypeError) as error:
        # Beside its own: what PyTorch says to types that it does not have, and to numbers beyond its own.
        raise ValueError(str(error) or type(error).__name__) from error
    if is_own:
        for key in ("description", "input_size"):
            if key not in metadata:
                raise ValueError(f"its metadata has no {key}")
            content[key] = parse_json(metadata[key])
    return content


def safetensors_bytes(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file with a state dict and metadata, and a checksum of both, which readers here compare.

    Raises ImportError without the package.
    """
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    file = io.BytesIO(save(tensors, dict(metadata)))
    return save(tensors, {**metadata, _CHECKSUM: _checksum(file, _read_header(file))})


def _checksum(file: BinaryIO, header: dict[str, Any]) -> str:
    """Return the CRC-32 of a header, without the checksum and in one order of its names, and of the bytes behind it."""
    metadata = {name: text for name, text in header.get("__metadata__", {}).items() if name != _CHECKSUM}
    crc = zlib.crc32(json.dumps({**header, "__metadata__": metadata}, sort_keys=True).encode())
    file.seek(0)
    file.seek(8 + int.from_bytes(file.read(8), "little"))
    while chunk := file.read(_CHUNK):
        crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}"


def _read_header(file: BinaryIO) -> dict[str, Any]:
    """Return what the header of an open file says; raise ValueError where it is none, or says something twice."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, LARGEST_HEADER):
        raise ValueError(f"its header would have {length:,} bytes; 2 to {min(size - 8, LARGEST_HEADER):,} are possible")
    try:
        header = json.loads(file.read(length).decode(), object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError(f"its header is a {type(header).__name__}, not an object")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not texts by name")
    return header


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: programs would differ in which of the two they believe."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its header has {repeated[:60]!r} more than once")
    return found
