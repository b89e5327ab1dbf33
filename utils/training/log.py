"""What a training run writes down: TensorBoard for looking, `log.jsonl` with the same figures for programs."""

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from dataset.files import show
from utils.distributed import reduce_sum
from utils.files import append_line
from utils.pictures.figures import Picture
from utils.training.folder import BOARD_FOLDER, LOG_FILE, RunFolder
from utils.training.state import TrainingState


class RunLog:
    """Write scalars to both places, from the main process; a context manager. Nothing is made before the first line.

    `failure` is why a line of `log.jsonl` could not be written, for the loop to end the run with, in all processes
    together. TensorBoard shows the same: where its files cannot be written there is a warning, and nothing more of it.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.failure: OSError | None = None
        self._board: SummaryWriter | None = None
        self._board_failed = False

    def scalars(self, kind: str, step: int, epoch: int, figures: Mapping[str, float | None]) -> None:
        """Add one line {"kind", "time", "step", "epoch", figures ...}; `epoch` counts from 1.

        A figure that is None, because there is nothing to measure, is null in the line and absent from TensorBoard.
        """
        if not self.folder.is_main:
            return
        line = {"kind": kind, "time": round(time.time(), 3), "step": step, "epoch": epoch, **figures}
        try:
            self.folder.claim()
            append_line(self.folder.path / LOG_FILE, json.dumps(line).encode())
        except OSError as error:
            self.failure = self.failure or error

        def add(board: SummaryWriter) -> None:
            for name, value in figures.items():
                if value is not None:
                    board.add_scalar(f"{kind}/{name}", value, step)

        self._on_board(add)

    def picture(self, name: str, step: int, picture: Picture) -> None:
        """Add a picture, RGB, to TensorBoard."""
        if self.folder.is_main:
            self._on_board(lambda board: board.add_image(name, picture, step, dataformats="HWC"))

    def raise_failure(self) -> None:
        """Raise the OSError of a line that could not be written, if there was one."""
        if self.failure is not None:
            raise self.failure

    def _on_board(self, write: Callable[[SummaryWriter], None]) -> None:
        if self._board_failed or self.failure is not None:
            return
        try:
            if self._board is None:
                self._board = SummaryWriter(str(self.folder.path / BOARD_FOLDER))
            write(self._board)
        except Exception as error:  # what it raises depends on whether TensorFlow is installed, too
            self._board_failed = True
            show(
                f"{self.folder.path / BOARD_FOLDER} cannot be written ({error}): the training goes on without "
                f"TensorBoard. {LOG_FILE} has the same figures.",
                to=sys.stderr,
            )

    def __enter__(self) -> "RunLog":
        self._excepthook = threading.excepthook
        threading.excepthook = self._board_thread_fails
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is still in memory."""
        if self._board is not None:
            self._on_board(lambda board: board.close())
        threading.excepthook = self._excepthook

    def _board_thread_fails(self, arguments: threading.ExceptHookArgs) -> None:
        """Keep the traceback of TensorBoard's own thread back: the next call raises its error, too."""
        if not type(arguments.thread).__module__.startswith("tensorboard"):
            self._excepthook(arguments)


class EpochLosses:
    """The losses of an epoch's steps.

    They stay on the device until they are checked: GPUs run ahead of the host, and looking at every loss at once would
    make them wait.
    """

    def __init__(self, state: TrainingState, log: RunLog) -> None:
        self.state, self.log = state, log
        self.steps_between_checks = 10 if state.device.type == "cuda" else 1
        self.unchecked: list[dict[str, Tensor]] = []
        self.rows: list[dict[str, float]] = []

    def add(self, terms: dict[str, Tensor], *, last: bool) -> str | None:
        """Take the terms of the step just done, the epoch's last or not; say what is wrong if a loss is not finite."""
        self.unchecked.append(terms)
        if not last and len(self.unchecked) < self.steps_between_checks:
            return None
        state = self.state
        table = torch.stack([torch.stack(list(terms.values())) for terms in self.unchecked]).cpu().tolist()
        first = state.step - len(table)
        self.unchecked.clear()
        for step, values in enumerate(table, first):
            row = dict(zip(terms, values, strict=True))
            broken = [f"{name} = {value}" for name, value in row.items() if not math.isfinite(value)]
            if broken:
                return f"at step {step + 1} of {state.total_steps} the loss is not finite: {', '.join(broken)}"
            self.rows.append(row)
            if step % state.config.log_every == 0:
                epoch = step // state.batches.steps_per_epoch + 1
                self.log.scalars("step", step + 1, epoch, {**row, "learning_rate": state.learning_rate(step)})
        return None

    def log_means(self, epoch: int, images_per_second: float) -> None:
        """Log the mean of each term over the epoch's steps and the processes. Every process must call it."""
        table = np.array([list(row.values()) for row in self.rows]).mean(axis=0)
        means = (reduce_sum(table) / self.state.processes.world_size).tolist()
        rates = {"learning_rate": self.state.learning_rate(self.state.step), "images_per_second": images_per_second}
        self.log.scalars("epoch", self.state.step, epoch, dict(zip(self.rows[0], means, strict=True)) | rates)
