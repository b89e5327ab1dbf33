"""What a training run writes down: TensorBoard for looking, `log.jsonl` with the same figures for programs."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from utils.pictures.figures import Picture


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
