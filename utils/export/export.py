"""Networks in forms that other programs read: ONNX, a torch.export program, safetensors, the published layout.

Each file is compared with the network it came from before it gets its name (see `utils.export.verify`).
"""

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from dataset.command import CommandError
from dataset.writing import whole_path
from modules.layers import resize
from networks import CSENet
from networks.csenet import SMALLEST_SIDE
from utils.checkpoint.metadata import NetworkMetadata, metadata_entries
from utils.checkpoint.published_names import to_published
from utils.checkpoint.safe_tensors import safetensors_bytes
from utils.checkpoint.snapshots import load_model, save_tensors
from utils.export.verify import Comparison, Run, check, compare
from utils.inference.engines import FinalLogits, first_line, open_session, run_session

METADATA_FILE = "metadata.json"
"""The name under which a program carries its metadata (`extra_files` of `torch.export.load`)."""

# 18 is what PyTorch's exporter writes without converting, and what runtimes of the last years read.
_ONNX_OPSET = 18


class ExportError(CommandError):
    """The export is impossible here; the message says why and what to do."""


def export(model: CSENet, metadata: NetworkMetadata, output: Path, file_format: str) -> list[Comparison]:
    """Write a network (in evaluation mode, on the CPU) to `output`, and return how the file was checked.

    `file_format` is a key of FORMATS. ONNX files and programs take normalised images (N, 3, H, W) float32, any number
    and any size from 65 x 65 (to 32768), and return logits (N, K, ~H/4, ~W/4) or classes (N, H, W) uint8, whichever
    the metadata say. The published layout is a state dict, each name with `module.` in front; a safetensors file has
    this project's names, and the metadata.

    An existing file is replaced only by one that passed the check. Raises ExportError where a package is missing,
    PyTorch's exporter fails or the network does not fit the format, and VerificationError for a file that computes
    something else; then nothing is left behind.
    """
    if metadata.result == "classes" and file_format in WEIGHTS_ALONE:
        raise ExportError("this format holds weights; that the network ends in classes cannot be said in it")
    with whole_path(output) as partial:
        run = FORMATS[file_format](model, metadata, partial)
        comparisons = compare(model, run, classes=metadata.result == "classes")
        check(comparisons, str(output))
    return comparisons


def write_onnx(model: CSENet, metadata: NetworkMetadata, path: Path) -> Run:
    """Write an ONNX file, and return what runs it."""
    packages = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ExportError(f'ONNX needs {" and ".join(missing)}; install it with: pip install -e ".[export]"')
    program = capture(model, metadata)
    with _exporter():
        converted = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=[metadata.result],
            dynamic_shapes=_any_size(),  # again, for the names of the sizes
            opset_version=_ONNX_OPSET,
            verbose=False,
        )
    assert converted is not None  # it is for the exporter of old, dynamo=False
    converted.model.metadata_props.update(metadata_entries(metadata))
    converted.save(path)
    session = open_session(path)
    return lambda images: run_session(session, images)


def write_program(model: CSENet, metadata: NetworkMetadata, path: Path) -> Run:
    """Write a torch.export program, and return what runs it."""
    program = capture(model, metadata)
    with _exporter():
        content = io.BytesIO()  # where a disk is full, PyTorch's own writer to paths ends the whole program
        torch.export.save(program, content, extra_files={METADATA_FILE: json.dumps(metadata_entries(metadata))})
    path.write_bytes(content.getbuffer())
    with _exporter():
        run: Run = torch.export.load(path).module()
    return run


def write_published(model: CSENet, metadata: NetworkMetadata, path: Path) -> Run:
    """Write the published layout, and return what runs it."""
    if model.depth != 101:
        raise ExportError(f"the published network has a backbone of depth 101, this one of depth {model.depth}")
    state = {f"module.{name}": tensor for name, tensor in to_published(model.state_dict()).items()}
    with path.open("xb") as file:
        save_tensors(state, file)
    return FinalLogits(load_model(path, input_size=model.input_size).model)


def write_safetensors(model: CSENet, metadata: NetworkMetadata, path: Path) -> Run:
    """Write the weights under this project's names with the metadata in the header, and return what runs them."""
    try:
        # "format" tells other programs that the tensors are PyTorch's.
        content = safetensors_bytes(model.state_dict(), {"format": "pt", **metadata_entries(metadata)})
    except ImportError as error:
        raise ExportError("this format needs the package safetensors: pip install safetensors") from error
    path.write_bytes(content)
    return FinalLogits(load_model(path).model)


FORMATS = {"onnx": write_onnx, "torch": write_program, "safetensors": write_safetensors, "published": write_published}
WEIGHTS_ALONE = ("safetensors", "published")
"""The formats without a network, which cannot end in classes."""


class _Classes(FinalLogits):
    """The class of each pixel."""

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to class indices (N, H, W) uint8."""
        return resize(super().forward(images), images.shape[-2:]).argmax(dim=1).to(torch.uint8)


def capture(model: CSENet, metadata: NetworkMetadata) -> ExportedProgram:
    """Trace a network as a program for any number of images of any size, with the result that the metadata say."""
    network = (_Classes if metadata.result == "classes" else FinalLogits)(model).eval()
    example = torch.zeros(2, 3, 97, 130)  # one image, or equal sides, would count as the only possible case
    with _exporter():
        return torch.export.export(network, (example,), dynamic_shapes=_any_size(), strict=False)


def _any_size() -> tuple[dict[int, Dim]]:
    most = 2**15  # PyTorch 2.10 fails without a limit
    sides = {2: Dim("height", min=SMALLEST_SIDE, max=most), 3: Dim("width", min=SMALLEST_SIDE, max=most)}
    return ({0: Dim("batch", min=1, max=most), **sides},)


@contextlib.contextmanager
def _exporter() -> Iterator[None]:
    """Keep to itself what PyTorch's exporter says about its own inner life, and raise ExportError where it fails."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except OSError:
        raise
    except Exception as error:  # of many classes, most of them private
        raise ExportError(
            f"PyTorch {torch.__version__} cannot export this network ({first_line(error)}); exporting needs "
            "PyTorch 2.9 or newer, and is tested up to 2.15"
        ) from error
    finally:
        logger.setLevel(level)
