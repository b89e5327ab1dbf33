"""`train.py` with the tiny network: what the tests start as a process of its own."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import train
from tests.support.tiny_network import TinyNetwork, load_tiny
from utils.checkpoint import snapshots
from utils.training import loop as training


def die_while_writing(path: Path, content: Mapping[str, Any]) -> None:
    """Write half of a snapshot's bytes, as `write_snapshot` would, and be killed."""
    original_save = torch.save

    def save_half(content: Any, file: Any) -> None:
        start = file.tell()
        original_save(content, file)
        file.truncate(start + (file.tell() - start) // 2)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    if content.get("step") == int(os.environ["DIE_WRITING_STEP"]):
        torch.save = save_half  # type: ignore[assignment]
    snapshots.write_snapshot(path, content)


if __name__ == "__main__":
    train.CSENet = TinyNetwork  # type: ignore[misc,assignment]
    train.load_weights = load_tiny  # type: ignore[assignment]
    if "DIE_WRITING_STEP" in os.environ:
        training.write_snapshot = die_while_writing
    sys.exit(train.main())
