"""The folder of a run: held against a second one, and cleared of an earlier one of which nothing is lost."""

import os
import re
from pathlib import Path

from dataset.files import show
from utils.checkpoint.snapshots import snapshot_before
from utils.distributed import from_main, launch_id
from utils.files import remove_leftovers
from utils.training.lock import FolderLock

LOG_FILE, BOARD_FOLDER = "log.jsonl", "tensorboard"


class RunFolder:
    """The snapshot folder of a training on one dataset; a context manager, entered and left by every process.

    The main process holds a lock meanwhile. Nothing in the folder changes before `claim`, which the first thing to be
    written calls: a start that fails leaves all as it was.
    """

    def __init__(self, path: str | os.PathLike[str], dataset: str, *, is_main: bool = True) -> None:
        self.path, self.is_main = Path(path), is_main
        self._prefix = f"{dataset.upper()}_epoch_"
        self._lock = FolderLock(self.path)
        self._start: Path | None = None
        self._claimed = False

    def snapshot(self, epoch: int | str) -> Path:
        """Return the file of an epoch: a number, "Last" or "Best"."""
        return self.path / f"{self._prefix}{epoch}.pth"

    def __enter__(self) -> "RunFolder":
        """Raises FolderInUseError where another training has the folder, OSError where it cannot be used."""
        from_main(self._lock.acquire)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # torchrun may start the processes of a crashed run again: they are to find that the run here is their own.
        self._lock.release(keep_note=self._claimed and kind is not None and launch_id() is not None)

    @property
    def is_own(self) -> bool:
        """Whether what is here was written by this process before torchrun started it again."""
        return launch_id() is not None and self._lock.earlier_note == launch_id()

    def written(self, epoch: int | str) -> Path | None:
        """Return the file of an epoch if this run, or the one that it goes on with, has written it."""
        file = self.snapshot(epoch)
        return file if (self._claimed or self._continues()) and file.exists() else None

    def start_from(self, snapshot: Path | None) -> None:
        """Note which snapshot the run goes on from; it is this folder's own run if that is the Last here.

        Raises ValueError where the run of another dataset is here, with whose logs those of a new one would mix.
        """
        self._start = snapshot
        if not self._continues():
            for file in self.path.glob("*_epoch_Last.pth"):
                if not file.name.startswith(self._prefix):
                    raise ValueError(
                        f"'{self.path}' holds the run of another dataset ({file.name}), and this one's log would mix "
                        "with its; choose another --snapshot-dir"
                    )

    def claim(self) -> None:
        """Set an earlier run aside, whole, unless this one continues it; to be called before anything is written."""
        if self._claimed or not self.is_main:
            return
        remove_leftovers(self.path)  # each of a killed run's is as large as a snapshot
        last = self.snapshot("Last")
        if not self._continues():
            self._set_aside()
        elif last.exists() and self._start is not None and not self._start.samefile(last):
            last = Path(os.path.realpath(last))
            last.rename(_free_name(last))  # damaged, or unwanted: it must not become the one before
        self._lock.leave_note(launch_id() or "")
        self._claimed = True  # not before: what failed above must not let the next call write over the earlier run

    def _continues(self) -> bool:
        """Return whether this run goes on with the one that is here."""
        if self._start is None or self.is_own:
            return self.is_own
        last = self.snapshot("Last")
        return os.path.realpath(self._start) in (os.path.realpath(last), os.path.realpath(snapshot_before(last)))

    def _set_aside(self) -> None:
        """Move the snapshots and logs of an earlier run into run_1, or the first number after those that are there."""
        # Not `glob`, which keeps silent about a folder that cannot be listed: the run in it would be written over.
        snapshots = [name for name in os.listdir(self.path) if name.startswith(self._prefix) and name.endswith(".pth")]
        files = [self.path / name for name in (*snapshots, LOG_FILE, BOARD_FOLDER)]
        names = [file.name for file in files if file.exists() or snapshot_before(file).exists()]
        # Links may lead nowhere. The Last goes first: without it nothing continues the rest, if a kill comes between.
        names.sort(key=lambda name: "_Last." not in name)
        if not names:
            return
        numbers = [int(found[1]) for name in os.listdir(self.path) if (found := re.fullmatch(r"run_(\d+)", name))]
        aside = self.path / f"run_{max(numbers, default=0) + 1}"
        aside.mkdir()
        for name in names:
            file = self.path / name
            if file.is_symlink():  # what lies elsewhere stays there: others may use it, too
                real = file.resolve()
                is_here = real.parent == self.path.resolve()
                is_moved = is_here and (real.name in names or snapshot_before(real).name in names)
                (aside / name).symlink_to(real.name if is_moved else real)
                file.unlink()
            else:
                file.rename(aside / name)
        show(f"The earlier run in {self.path} is now in {aside}.")


def _free_name(last: Path) -> Path:
    """Return what a last snapshot is called that is put aside, beside those that were before."""
    names = (last.with_suffix(f".aside{number}.pth") for number in ("", *(f"_{n}" for n in range(2, 1000))))
    return next(name for name in names if not os.path.lexists(name))
