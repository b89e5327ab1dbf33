"""Engines: what maps normalised images to logits, with PyTorch, OpenVINO or onnxruntime.

`utils.inference.crop_parser.CropParser` does everything else: normalisation, test-time augmentation, class maps.
"""

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from modules.winograd import WinogradConv2d, use_winograd
from networks import CSENetOutput
from utils.checkpoint.files import CheckpointError, CheckpointNotFoundError
from utils.checkpoint.metadata import NetworkMetadata, read_metadata
from utils.device import AMP_DTYPES, check_amp, warn_of_slow_amp
from utils.inference.cpu_threads import cpu_threads
from utils.inference.folding import folded


class Engine(Protocol):
    """What computes logits; used from several threads at once where `device` is the CPU."""

    @property
    def device(self) -> torch.device:
        """Where the images have to be, and the logits are."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) float32 to logits (N, K, ~H/4, ~W/4)."""


class TorchEngine:
    """A PyTorch network. On a CPU it computes with as many threads as PyTorch has in the thread that calls it.

    They share the images of a batch: two images at once, on half of the cores each, take less time than both in one
    pass on all of them.

    The engine keeps a copy of its own, in which BatchNorm is folded into the convolutions, with the channels last where
    that is faster, and on a CPU with Winograd's filtering (`modules.winograd`). Its logits are within 1e-3 of the
    network's.

    Args:
        model: a `CSENet` in evaluation mode, on any device.
        device: where the engine computes.
        amp: a key of AMP_DTYPES.

    Raises ValueError for a precision that the device does not have, see `check_amp`.
    """

    def __init__(self, model: nn.Module, device: torch.device, *, amp: str = "off") -> None:
        check_amp(amp, device)
        warn_of_slow_amp(amp, device)
        self.device = device
        self.amp_dtype = AMP_DTYPES[amp]
        # On GPUs only half precision gains from it.
        channels_last = device.type == "cpu" or self.amp_dtype is not None
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = folded(model, self._placed)
        if device.type == "cpu":
            use_winograd(self.model)
        if self.amp_dtype is not None:
            # As autocast would in every pass.
            for module in self.model.modules():
                if isinstance(module, WinogradConv2d):
                    for name, buffer in list(module.named_buffers(recurse=False)):
                        setattr(module, name, buffer.to(self.amp_dtype))
                if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                    for name, parameter in list(module.named_parameters(recurse=False)):
                        setattr(module, name, nn.Parameter(parameter.to(self.amp_dtype), requires_grad=False))

    def _placed(self, tensor: Tensor) -> Tensor:
        layout = self._layout if tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.device, copy=True, memory_format=layout)

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to logits (N, K, ~H/4, ~W/4), of the lower precision if there is one."""
        threads = torch.get_num_threads()
        at_once = min(len(images), threads) if self.device.type == "cpu" else 1
        if at_once == 1:
            return self._logits(images)
        with cpu_threads(at_once, threads // at_once) as pool:
            return torch.cat(list(pool.map(self._logits, images.split(1))))

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> CSENetOutput:
        """Map normalised images (N, 3, H, W) to all that the network returns, in one pass."""
        with torch.autocast(self.device.type, dtype=self.amp_dtype, enabled=self.amp_dtype is not None):
            return cast(CSENetOutput, self.model(images.contiguous(memory_format=self._layout)))

    def _logits(self, images: Tensor) -> Tensor:
        return self.outputs(images).final


class OpenVinoEngine:
    """OpenVINO on the CPU: a PyTorch network, which is converted within half a minute, or an ONNX file of export.py.

    Args:
        network: a `CSENet` in evaluation mode on the CPU, or the path of a file that ends in logits.
        amp: "off", or "bf16" on a processor that computes in it.
        cores: how many cores a call uses. With `deterministic`, as many calls at once, each on one core.

    Attributes:
        metadata: what an ONNX file says about itself; None for a network.

    Raises CheckpointError for files that are no such network, and where OpenVINO is not installed; ValueError for an
    `amp` that this processor or OpenVINO does not compute in.
    """

    def __init__(
        self, network: nn.Module | str | os.PathLike[str], *, cores: int, amp: str = "off", deterministic: bool = False
    ) -> None:
        openvino = _import_openvino()
        core = _openvino_core(openvino)
        if amp == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor does not compute in bf16, which would gain nothing here: leave amp off")
        self.device = torch.device("cpu")
        self.metadata: NetworkMetadata | None = None
        if isinstance(network, nn.Module):
            model = _converted(openvino, network)
        else:
            model, self.metadata = _read_onnx(core, network)
        settings = {
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores if deterministic else 1,
            "INFERENCE_PRECISION_HINT": "bf16" if amp == "bf16" else "f32",
        }
        self._compiled = core.compile_model(model, "CPU", settings)

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) float32 to logits (N, K, ~H/4, ~W/4) float32."""
        # A request of its own, since those of several threads must not share one.
        return torch.from_numpy(self._compiled.infer_new_request({0: images.contiguous().numpy()})[0])


def _import_openvino() -> Any:
    # Where it finds this package, it reports to Google Analytics that it was imported and what it converted, from a
    # fork of the process. Nobody who parses a photograph was asked.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise CheckpointError("the engine openvino is not installed: pip install openvino") from error
    return openvino


@functools.cache
def _openvino_core(openvino: Any) -> Any:
    """Return the one `openvino.Core` of this process.

    Each gives the thread that first compiles with it a stack for signal handlers and, when it goes, the one before it,
    which may be that of another that is gone: the next signal (Ctrl-C, the end of a child) would crash the process.
    """
    return openvino.Core()


class FinalLogits(nn.Module):
    """Only what predictions need of a `CSENet`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model = network

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to logits (N, K, ~H/4, ~W/4)."""
        logits: Tensor = self.model(images).final
        return logits


def _converted(openvino: Any, network: nn.Module) -> Any:
    """Return a network as OpenVINO's model for any number of images of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, about its tracing, which OpenVINO uses
        # Any example does; it is small since it goes through the network a few times.
        return openvino.convert_model(
            FinalLogits(folded(network)).eval(),
            example_input=torch.zeros(1, 3, 65, 98),
            input=[openvino.PartialShape([-1, 3, -1, -1])],
        )


def _read_onnx(core: Any, path: str | os.PathLike[str]) -> tuple[Any, NetworkMetadata]:
    """Return OpenVINO's model of an ONNX file, and what the file says about itself."""
    with _reading(path):
        model = core.read_model(os.fspath(path))
    info = model.rt_info
    entries = {name: entry.value for name, entry in info["framework"].items()} if "framework" in info else {}
    classes = model.output(0).get_partial_shape()
    known = classes[1].get_length() if len(classes) == 4 and classes[1].is_static else None
    return model, _logits_metadata(entries, known, path)


class OnnxEngine:
    """onnxruntime on the CPU: an ONNX file that export.py wrote.

    Args:
        path: a file that ends in logits (exported without `--classes`).
        cores: how many cores a call uses.

    Attributes:
        metadata: what the file says about itself.

    Raises CheckpointError for other files, and where onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, cores: int = 1) -> None:
        self._session = open_session(path, threads=cores)
        shape = self._session.get_outputs()[0].shape
        known = shape[1] if len(shape) == 4 and isinstance(shape[1], int) else None  # a name where it is left open
        self.metadata = _logits_metadata(self._session.get_modelmeta().custom_metadata_map, known, path)
        self.device = torch.device("cpu")

    def __call__(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) float32 to logits (N, K, ~H/4, ~W/4) float32."""
        return run_session(self._session, images)


def _logits_metadata(
    entries: Mapping[str, str], num_classes: int | None, path: str | os.PathLike[str]
) -> NetworkMetadata:
    """Return what an ONNX file of `num_classes` outputs says about itself.

    Raises CheckpointError for files that end in classes, and those that contradict themselves: their classes would be
    read by wrong names, or by none.
    """
    where = f"'{os.fspath(path)}'"
    metadata = read_metadata(entries, where)
    if metadata.result != "logits":
        raise CheckpointError(
            f"{where} ends in class indices, which cannot be averaged over mirror and scales; export the network "
            "without --classes"
        )
    if num_classes not in (None, metadata.description.num_classes):
        raise CheckpointError(
            f"{where} contradicts itself: its network has {num_classes} classes, its description names "
            f"{metadata.description.num_classes}. It was changed after the export; export it again"
        )
    return metadata


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
    onnxruntime.disable_telemetry_events()  # which it has on Windows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are about graph details that nobody here can change
    with _reading(path):
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def run_session(session: Any, images: Tensor) -> Tensor:
    """Return a session's only output for normalised images (N, 3, H, W) float32."""
    return torch.from_numpy(session.run(None, {"images": images.contiguous().numpy()})[0])


@contextlib.contextmanager
def _reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise CheckpointError where there is no file, or reading it as ONNX fails."""
    where = f"'{os.fspath(path)}'"
    if not Path(path).is_file():
        raise CheckpointNotFoundError(f"{where} is not a file")
    try:
        yield
    except Exception as error:  # those of onnxruntime and OpenVINO share no class below this one
        raise CheckpointError(f"{where} is not an ONNX file, or is damaged ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """Return what an error of another package says, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
