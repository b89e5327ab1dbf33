"""A lock that one process holds on a folder, and that the system takes back however that process ends."""

import contextlib
import errno
import os
import socket
import stat
import sys
from pathlib import Path
from typing import IO

from dataset.command import CommandError
from dataset.files import printable, show

LOCK_FILE = ".lock"
_LOCKED_BYTE = 1 << 30  # far behind what is written there: on Windows nobody else may read a locked byte

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        # Of this process alone, unlike flock's: workers that outlive a killed training for some seconds do not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _LOCKED_BYTE)


class FolderInUseError(CommandError):
    """Another process holds the lock."""


class FolderLock:
    """Hold a folder from `acquire` to `release`; missing folders are made, and removed again if they stay empty.

    The lock is on a file in it, which can carry a note to those who come later. It is removed at the release; a kill
    leaves it behind, no longer locked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK_FILE
        self.earlier_note = ""
        """What the last holder left, if it did not take it away."""
        self._file: IO[bytes] | None = None
        self._made: list[Path] = []

    def acquire(self) -> None:
        """Take the lock; raise FolderInUseError where another process has it, OSError for an unusable folder.

        Where a file system knows no locks, as some network disks do not, there is none, and a line says so.
        """
        if os.path.lexists(self.folder) and not self.folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is no folder; choose another --snapshot-dir", str(self.folder))
        self._made = [folder for folder in (self.folder, *self.folder.parents) if not folder.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        file = _open(self.path)
        try:
            _lock(file)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                holder, _ = _read(file)
                file.close()
                raise FolderInUseError(
                    f"'{self.folder}' is in use by another training ({holder}); wait for its end, stop it, or choose "
                    "another --snapshot-dir"
                ) from error
            show(f"'{self.folder}' cannot be locked ({error.strerror}): start no other training there")
        if not _is_at(file, self.path):  # its holder has removed it between our opening and locking it
            file.close()
            self.acquire()
            return
        self._file = file
        _, self.earlier_note = _read(file)
        try:
            self.leave_note(self.earlier_note)
        except OSError:
            self.release()  # nobody else would: the folder was not entered
            raise

    def leave_note(self, note: str) -> None:
        """Write to the lock file who holds it, and a line for those who come later; raises OSError on a full disk."""
        if self._file is None:
            return
        try:
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n{note}".encode())
        except OSError as error:
            error.filename = os.fspath(self.path)
            raise

    def release(self, *, keep_note: bool = False) -> None:
        """Give the folder back."""
        if self._file is None:
            return
        if not keep_note:
            with contextlib.suppress(OSError):
                self.path.unlink()
        self._file.close()
        self._file = None
        with contextlib.suppress(OSError):  # something is in it now
            for folder in self._made:
                folder.rmdir()


def _read(file: IO[bytes]) -> tuple[str, str]:
    """Return who held or holds a lock, and the note."""
    file.seek(0)
    holder, _, note = printable(file.read(2000).decode(errors="replace"), kept="\n").partition("\n")
    return holder, note


def _is_at(file: IO[bytes], path: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _open(path: Path) -> IO[bytes]:
    """Open a lock file, and nothing else that may lie in its place: no link, no pipe, no device."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise FileExistsError(errno.EEXIST, "is no regular file", os.fspath(path))
    return file
