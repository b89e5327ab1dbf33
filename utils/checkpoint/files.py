"""Checkpoint files: opened so that nothing in them can run, and one clear sentence for what is none."""

import os
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from dataset.files import open_regular, printable
from utils.checkpoint.safe_tensors import is_safetensors, read_safetensors

# The files that the authors published; people type these names before they have them.
_PUBLISHED = ("LIP_epoch_Best.pth", "resnet101-imagenet.pth")

_DOS_FOLDER = 0x10


class CheckpointError(ValueError):
    """A file or state dict that cannot be used; the message says what was expected and what to do."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no such file."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a checkpoint file, on the CPU, opened so that nothing in it can run.

    The tensors of a safetensors file lie under "model", see `utils.checkpoint.safe_tensors`. Raises CheckpointError if
    the file is missing, is something else than a checkpoint (a device or pipe, too), is damaged, would unpack to more
    than it has, or holds Python objects beside tensors and plain values.
    """
    path = Path(path)
    where = f"'{path}'"
    try:
        if not path.exists():
            hint = '; README.md says under "Weights" where to download it' if path.name in _PUBLISHED else ""
            raise CheckpointNotFoundError(f"{where} does not exist{hint}")
        if path.is_dir():
            raise CheckpointError(f"{where} is a folder; give the checkpoint file in it")
        with open_regular(path) as file:
            content = _content(file, path)
    except CheckpointError:  # one of them is an OSError, too
        raise
    except (OSError, ValueError) as error:  # ValueError: for a path that no file can have
        raise CheckpointError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{where} holds a {type(content).__name__}, not a dict of tensors")
    return content


def _content(file: BinaryIO, path: Path) -> Any:
    """Return the content of an open file of either format; raise CheckpointError where it is none."""
    start, where = file.read(512), f"'{path}'"
    if not start.startswith(b"{", 8):  # whose header's length may look like anything
        _check_start(start, where)
    if not is_safetensors(start, path):
        return _unpickled(file, path)
    try:
        return read_safetensors(file, path)
    except ImportError as error:
        raise CheckpointError(f"{where} needs the package safetensors: pip install safetensors") from error
    except ValueError as error:
        raise _damaged(path, error, kind="safetensors file") from error


def _unpickled(file: BinaryIO, path: Path) -> Any:
    """Return what `torch.load` makes of an open file; raise CheckpointError where it makes nothing."""
    where = f"'{path}'"
    try:
        _check_archive(file, where)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)|(?:class|function|call) ([\w.]+\.[\w.]+)", str(error))
        if foreign is None:
            raise _damaged(path, error) from error
        name = (foreign[1] or foreign[2]).removeprefix("builtins.")
        raise CheckpointError(
            f"{where} was not opened: it holds Python objects ({name}) beside tensors, and loading "
            "those can run any code. Save the state dict alone: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # damaged bytes can end in almost any of them, struct.error and MemoryError included
        raise _damaged(path, error) from error


def _check_archive(file: BinaryIO, where: str) -> None:
    """Refuse an archive that says it unpacks to more than the file has, or whose content has changed since.

    PyTorch stores its archives without compression, so whoever compressed one, or let its members share their bytes,
    made a small file that fills the memory. And it writes their CRC-32s but never looks at them: a bit that a disk or a
    copy has turned would change weights without a word. Raises zipfile.BadZipFile where members do not fit theirs, and
    for an archive without a readable directory.
    """
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":  # as PyTorch tells its archives from its older files
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        size = os.fstat(file.fileno()).st_size
        if unpacked > size:
            raise CheckpointError(
                f"{where} has {size:,} bytes, but says that it unpacks to {unpacked:,}, which could fill the memory; "
                "PyTorch does not compress checkpoints: use the file as torch.save wrote it"
            )
        if any(member.CRC for member in archive.infolist()):  # PyTorch can be told not to count them: all are 0 then
            # What the directory says is no part of the sums: PyTorch reads nothing where it finds a folder in it.
            folders = (member.filename for member in archive.infolist() if member.external_attr & _DOS_FOLDER)
            changed = next(folders, None) or archive.testzip()
            if changed is not None:
                raise zipfile.BadZipFile(f"the content of {changed} has changed since it was written")


def _check_start(start: bytes, where: str) -> None:
    """Recognise what a failed download leaves in the place of a checkpoint."""
    if not start:
        raise CheckpointError(f"{where} is empty; download or copy it again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{where} is a git-lfs pointer, not the weights; fetch them with: git lfs pull")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise CheckpointError(
            f"{where} is a web page (HTML), not weights: the download stopped at a login or confirmation page; "
            "open the link in a browser and save the file itself"
        )


def _damaged(path: Path, error: Exception, *, kind: str = "PyTorch checkpoint") -> CheckpointError:
    # torch wraps the reason in advice to open the file without protection, which nobody should read here.
    _, _, reason = str(error).rpartition("WeightsUnpickler error:")
    reason = reason.partition(". In PyTorch")[0].strip() or type(error).__name__
    if reason.startswith("Cannot use"):
        reason = "it is of a kind that cannot be opened safely"
    reason = printable(reason.splitlines()[0][:120])
    return CheckpointError(
        f"'{path}' ({path.stat().st_size:,} bytes) is not a {kind}, or is truncated or damaged ({reason}); "
        "compare its size with the source and copy it again"
    )
