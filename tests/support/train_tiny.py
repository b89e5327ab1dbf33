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
from tests.support.tiny_network import TinyNetwork

save_whole = torch.save


def save_or_die(content: Mapping[str, Any], file: Any) -> None:
    """Save a snapshot; of the one of the step DIE_WRITING_STEP write half of the bytes and be killed."""
    start = file.tell()
    save_whole(content, file)
    if content["step"] == int(os.environ["DIE_WRITING_STEP"]):
        file.truncate(start + (file.tell() - start) // 2)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if "DIE_WRITING_STEP" in os.environ:
        torch.save = save_or_die  # type: ignore[assignment]
    sys.exit(train.main(build_network=TinyNetwork))  # type: ignore[arg-type]
