"""From a file, a snapshot, published weights or ONNX, to the engine that computes with it."""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from dataset.descriptions import DatasetDescription
from dataset.workers import available_cores
from utils.checkpoint.snapshots import load_model
from utils.cli import ENGINES
from utils.device import AMP_DTYPES, check_amp, choose_device
from utils.inference.engines import Engine, OnnxEngine, OpenVinoEngine, TorchEngine


class LoadedEngine(NamedTuple):
    """An engine, with what is known about its network."""

    engine: Engine
    description: DatasetDescription | None
    """The dataset it was trained on; None for layouts that do not say."""
    num_classes: int
    input_size: tuple[int, int]
    """(height, width) of the training crop."""


def load_engine(
    path: str | os.PathLike[str],
    device: str | torch.device | None = None,
    *,
    engine: str | None = None,
    amp: str = "off",
    input_size: tuple[int, int] | None = None,
    deterministic: bool = False,
    cores: int | None = None,
) -> LoadedEngine:
    """Load a network for predictions; arguments and errors are those of `HumanParser.from_checkpoint`.

    Args:
        deterministic: let each call compute on one core, for a `CropParser` that is deterministic.
        cores: how many the engine uses; default, those this process may use.
    """
    chosen = engine or default_engine(path)
    named = default_device(chosen) if device is None else str(device)
    _check_options(path, chosen, named, amp, input_size)
    place = choose_device(named, for_prediction=True)
    check_amp(amp, place)
    cores = cores or available_cores()
    openvino = partial(OpenVinoEngine, cores=cores, amp=amp, deterministic=deterministic)
    if not _is_onnx(path):
        model, own = load_model(path, input_size=input_size)
        computing = openvino(model) if chosen == "openvino" else TorchEngine(model, place, amp=amp)
        return LoadedEngine(computing, own, model.num_classes, model.input_size)
    onnx = openvino(path) if chosen == "openvino" else OnnxEngine(path, cores=1 if deterministic else cores)
    assert onnx.metadata is not None
    description = onnx.metadata.description
    return LoadedEngine(onnx, description, description.num_classes, onnx.metadata.input_size)


def default_engine(path: str | os.PathLike[str]) -> str:
    """Return the engine that a file is computed with where nobody names one."""
    return "onnxruntime" if _is_onnx(path) else "torch"


def default_device(engine: str) -> str | None:
    """Return the device that an engine computes on where nobody names one; None if `choose_device` may choose."""
    return None if engine == "torch" else "cpu"


def _is_onnx(path: str | os.PathLike[str]) -> bool:
    return Path(path).suffix.lower() == ".onnx"


def _check_options(
    path: str | os.PathLike[str], engine: str, device: str | None, amp: str, input_size: tuple[int, int] | None
) -> None:
    """Raise ValueError for options that do not fit each other or the file."""
    where = f"'{os.fspath(path)}'"
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(ENGINES)}")
    if amp not in AMP_DTYPES:
        raise ValueError(f"amp is {amp!r}; it must be one of {', '.join(AMP_DTYPES)}")
    if engine == "onnxruntime" and not _is_onnx(path):
        raise ValueError(
            f"{where}: onnxruntime computes ONNX files; make one with: python export.py --checkpoint {where} "
            "--format onnx --output parser.onnx"
        )
    if engine == "torch" and _is_onnx(path):
        raise ValueError(f"{where}: PyTorch does not compute ONNX files; choose the engine onnxruntime or openvino")
    if _is_onnx(path) and input_size is not None:
        raise ValueError(f"{where} says its input size itself; leave it out")
    if engine != "torch" and device != "cpu":
        raise ValueError(f"the engine {engine} computes on the CPU alone, not on {device}; leave the device out")
    if engine == "onnxruntime" and amp != "off":
        raise ValueError("the engine onnxruntime computes in full precision; leave amp out")
