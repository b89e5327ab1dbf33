"""What a training run writes down: TensorBoard for looking, `log.jsonl` with the same figures for programs."""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from utils.distributed import reduce_sum
from utils.pictures.figures import Picture
from utils.training.state import TrainingState


class RunLog:
    """Write scalars to both places. With `enabled=False` (all processes but the main one) it writes nothing."""

    def __init__(self, folder: Path, *, enabled: bool = True) -> None:
        self.enabled = enabled
        if enabled:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = (folder / "log.jsonl").open("a", encoding="utf-8")
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def scalars(self, kind: str, step: int, epoch: int, figures: Mapping[str, float | None]) -> None:
        """Add one line {"kind", "time", "step", "epoch", figures ...}; `epoch` counts from 1.

        A figure that is None, because there is nothing to measure, is null in the line and absent from TensorBoard.
        """
        if not self.enabled:
            return
        line = {"kind": kind, "time": round(time.time(), 3), "step": step, "epoch": epoch, **figures}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()
        for name, value in figures.items():
            if value is not None:
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, picture: Picture) -> None:
        """Add a picture, RGB, to TensorBoard."""
        if self.enabled:
            self.board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        if self.enabled:
            self.file.close()
            self.board.close()


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
