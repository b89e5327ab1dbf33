"""Weights from any layout people have them in, and this project's own snapshots. Imports nothing but torch."""

from utils.checkpoint.files import CheckpointError, CheckpointNotFoundError, read_checkpoint
from utils.checkpoint.loading import load_weights
from utils.checkpoint.published_names import from_published, to_published

__all__ = [
    "CheckpointError",
    "CheckpointNotFoundError",
    "from_published",
    "load_weights",
    "read_checkpoint",
    "to_published",
]
