"""Parsing crops with an exported network through onnxruntime: no PyTorch network is built."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dataset.descriptions import DatasetDescription
from utils.checkpoint.files import CheckpointError, CheckpointNotFoundError
from utils.checkpoint.metadata import read_metadata
from utils.inference.crop_parser import CropParser


class OnnxCropParser:
    """Parse batches of crops on the CPU with an ONNX file that export.py wrote; `CropParser` in everything else.

    Args:
        path: a file that ends in logits (exported without `--classes`).
        cores: how many crops are worked on at once, each on one core; default, the cores this process may use.

    Attributes:
        description, num_classes: the classes.
        input_size: (height, width) of the training crop.
        device: the CPU.

    Raises CheckpointError for other files, and where onnxruntime is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        cores: int | None = None,
    ) -> None:
        where = f"'{os.fspath(path)}'"
        session = open_session(path, threads=1)
        metadata = read_metadata(session.get_modelmeta().custom_metadata_map, where)
        if metadata.result != "logits":
            raise CheckpointError(
                f"{where} ends in class indices, which cannot be averaged over mirror and scales; export the network "
                "without --classes"
            )
        _check_classes(session, metadata.description, where)
        self.description = metadata.description
        self.num_classes = metadata.description.num_classes
        self.input_size = metadata.input_size
        self.device = torch.device("cpu")
        self._parser = CropParser(
            _SessionNetwork(session, self.num_classes),
            self.device,
            scales=scales,
            mirror=mirror,
            flip_pairs=self.description.flip_pairs,
            cores=cores,
        )

    def with_options(self, *, scales: Sequence[float], mirror: bool) -> "OnnxCropParser":
        """Return a parser with other test-time augmentation, which shares this one's network."""
        other = copy.copy(self)
        other._parser = self._parser.with_options(scales=scales, mirror=mirror)
        return other

    def logits(self, images: Tensor) -> Tensor:
        """Map BGR crops (N, 3, h, w) uint8 to fused logits (N, K, h, w) float32."""
        return self._parser.logits(images)

    def classes(self, images: Tensor) -> Tensor:
        """Map BGR crops (N, 3, h, w) uint8 to class maps (N, h, w) uint8."""
        return self._parser.classes(images)


def _check_classes(session: Any, description: DatasetDescription, where: str) -> None:
    """Refuse a file that contradicts itself: its classes would be read by wrong names, or by none."""
    shape = session.get_outputs()[0].shape
    classes = shape[1] if len(shape) == 4 else None  # a name where the file leaves it open
    if isinstance(classes, int) and classes != description.num_classes:
        raise CheckpointError(
            f"{where} contradicts itself: its network has {classes} classes, its description names "
            f"{description.num_classes}. It was changed after the export; export it again"
        )


def open_session(path: str | os.PathLike[str], *, threads: int = 0) -> Any:
    """Return an onnxruntime session on the CPU; each run uses so many threads (0: all cores).

    Raises CheckpointError if the file is missing or is not ONNX, and where onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise CheckpointError(
            f"'{os.fspath(path)}': ONNX files need onnxruntime; install it with: pip install onnxruntime"
        ) from error
    if not Path(path).is_file():
        raise CheckpointNotFoundError(f"'{os.fspath(path)}' is not a file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are about graph details that nobody here can change
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no class below this one
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"'{os.fspath(path)}' is not an ONNX file, or is damaged ({reason[:200]})") from error


def run_session(session: Any, images: Tensor) -> Tensor:
    """Return a session's only output for normalised images (N, 3, H, W) float32."""
    return torch.from_numpy(session.run(None, {"images": images.contiguous().numpy()})[0])


class _FinalLogits(NamedTuple):
    final: Tensor


class _SessionNetwork:
    """An onnxruntime session with the face that `CropParser` expects of a network."""

    def __init__(self, session: Any, num_classes: int) -> None:
        self.num_classes = num_classes
        self._session = session

    def __call__(self, images: Tensor) -> _FinalLogits:
        return _FinalLogits(run_session(self._session, images))
