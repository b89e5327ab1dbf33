"""Engines: what maps normalised images to logits, with PyTorch or, without building a network, with onnxruntime.

`utils.inference.crop_parser.CropParser` does everything else: normalisation, test-time augmentation, class maps.
"""

import os
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dataset.descriptions import DatasetDescription
from utils.checkpoint.files import CheckpointError, CheckpointNotFoundError
from utils.checkpoint.metadata import read_metadata
from utils.device import AMP_DTYPES, check_amp


class Engine(Protocol):
    """What computes logits; used from several threads at once where `device` is the CPU."""

    @property
    def device(self) -> torch.device:
        """Where the images have to be, and the logits are."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) float32 to logits (N, K, ~H/4, ~W/4)."""


class Network(Protocol):
    """A `CSENet`, as far as predictions need one."""

    def __call__(self, images: Tensor) -> Any:
        """Map normalised images (N, 3, H, W) to outputs whose `final` are the logits (N, K, ~H/4, ~W/4)."""


class TorchEngine:
    """A PyTorch network.

    Args:
        model: is put into evaluation mode by the caller, and lies on `device`.
        amp: a key of AMP_DTYPES.

    Raises ValueError for a precision that the device does not have, see `check_amp`.
    """

    def __init__(self, model: Network, device: torch.device, *, amp: str = "off") -> None:
        check_amp(amp, device)
        self.model = model
        self.device = device
        self.amp_dtype = AMP_DTYPES[amp]

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to logits (N, K, ~H/4, ~W/4), of the lower precision if there is one."""
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            logits: Tensor = self.model(images).final
        return logits


class OnnxEngine:
    """An ONNX file that export.py wrote, on the CPU; each call computes on one core.

    Args:
        path: a file that ends in logits (exported without `--classes`).

    Attributes:
        description: the classes.
        input_size: (height, width) of the training crop.

    Raises CheckpointError for other files, and where onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        where = f"'{os.fspath(path)}'"
        self._session = open_session(path, threads=1)
        metadata = read_metadata(self._session.get_modelmeta().custom_metadata_map, where)
        if metadata.result != "logits":
            raise CheckpointError(
                f"{where} ends in class indices, which cannot be averaged over mirror and scales; export the network "
                "without --classes"
            )
        _check_classes(self._session, metadata.description, where)
        self.description = metadata.description
        self.input_size = metadata.input_size
        self.device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to logits (N, K, ~H/4, ~W/4)."""
        return run_session(self._session, images)


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
