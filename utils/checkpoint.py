"""Loading weights from any layout people have them in, with one clear sentence where that is impossible."""

import logging
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from networks import CSENet
from utils.published_names import (
    from_published,
    imagenet_name,
    published_name,
    strip_wrappers,
    timm_name,
    to_published,
)

__all__ = ["CheckpointError", "from_published", "load_weights", "read_checkpoint", "to_published"]

logger = logging.getLogger(__name__)

_CLASSIFIER = "final_head.classifier.conv.weight"


class CheckpointError(ValueError):
    """A file or state dict that cannot be used; the message says what was expected and what to do."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no such file."""


def load_weights(
    model: CSENet, source: str | os.PathLike[str] | Mapping[str, Any], *, where: str = "the state dict"
) -> CSENet:
    """Fill `model` from a path or a state dict (which messages call `where`), and return it.

    Accepted: the published layout (with or without `module.`), this project's snapshots and bare state dicts, and
    as a starting point for training the ImageNet backbones `resnet101-imagenet.pth` and timm's `resnet101s`; these
    fill the backbone and nothing else, and a logged warning says what stayed at its initial value. timm's were
    trained on RGB, so their first convolution is turned to BGR.

    Raises CheckpointError for everything else: unreadable files, another network, another number of classes,
    missing or unexpected tensors, other shapes, values that are not finite. `model` is then unchanged.
    """
    if isinstance(source, Mapping):
        content = source
    else:
        where, content = f"'{os.fspath(source)}'", read_checkpoint(source)
    state = _find_state(content, where)
    layout, file_name = _recognise(state, where)
    own = model.state_dict()
    names = {name: in_file for name in own if (in_file := file_name(name)) is not None}
    _check_classes(state, file_name(_CLASSIFIER), model, where)
    _check_names_and_shapes(state, {in_file: own[name] for name, in_file in names.items()}, layout, where)
    _check_finite(state, where)
    tensors = {name: state[in_file] for name, in_file in names.items() if in_file in state}
    if layout == "timm":
        first = "backbone.conv1.weight"
        tensors[first] = tensors[first].flip(1)  # RGB to BGR
    model.load_state_dict(tensors, strict=False)  # the checks above are stricter, and say more
    if layout in ("ImageNet", "timm"):
        initial = sorted({name.partition(".")[0] for name in own.keys() - names.keys()})
        logger.warning(
            "%s filled the backbone (%d tensors); the other %d tensors keep their initial values: %s",
            where,
            len(tensors),
            len(own) - len(names),
            ", ".join(initial),
        )
    return model


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the content of a checkpoint file, on the CPU, opened so that nothing in it can run.

    Raises CheckpointError if the file is missing, is something else than a checkpoint, is damaged, or holds Python
    objects beside tensors and plain values.
    """
    path = Path(path)
    where = f"'{path}'"
    try:
        if not path.exists():
            raise CheckpointNotFoundError(f"{where} does not exist")
        if path.is_dir():
            raise CheckpointError(f"{where} is a folder; give the checkpoint file in it")
        with path.open("rb") as file:
            start = file.read(512)
    except CheckpointError:  # one of them is an OSError, too
        raise
    except OSError as error:
        raise CheckpointError(f"{where} cannot be read: {error.strerror}") from error
    _check_start(start, where)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)|(?:class|function|call) ([\w.]+\.[\w.]+)", str(error))
        if foreign is None:
            raise _damaged(path, error) from error
        name = (foreign[1] or foreign[2]).removeprefix("builtins.")
        raise CheckpointError(
            f"{where} was not opened: it holds Python objects ({name}) beside tensors, and loading "
            "those can run any code. Save the state dict alone: torch.save(model.state_dict(), path)"
        ) from error
    except Exception as error:  # damaged bytes can end in almost any of them, struct.error and MemoryError included
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{where} holds a {type(content).__name__}, not a dict of tensors")
    return content


def _check_start(start: bytes, where: str) -> None:
    """Recognise what a failed download leaves in the place of a checkpoint."""
    if not start:
        raise CheckpointError(f"{where} is empty; download or copy it again")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{where} is a git-lfs pointer, not the weights; fetch them with: git lfs pull")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise CheckpointError(
            f"{where} is a web page (HTML), not weights: the download stopped at a login or confirmation page; "
            "open the link in a browser and save the file itself"
        )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    # torch wraps the reason in advice to open the file without protection, which nobody should read here.
    _, _, reason = str(error).rpartition("WeightsUnpickler error:")
    reason = reason.partition(". In PyTorch")[0].strip() or type(error).__name__
    if reason.startswith("Cannot use"):
        reason = "it is of a kind that cannot be opened safely"
    reason = _printable(reason.splitlines()[0][:120])
    return CheckpointError(
        f"'{path}' ({path.stat().st_size:,} bytes) is not a PyTorch checkpoint, or is truncated or damaged ({reason}); "
        "compare its size with the source and copy it again"
    )


def _find_state(content: Mapping[str, Any], where: str) -> Mapping[str, Tensor]:
    """Return the dict of tensors in a checkpoint, without wrappers' prefixes: the checkpoint itself, or what lies
    under "model" or "state_dict"."""
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not content:
        raise CheckpointError(f"{where} holds no tensors")
    for name, value in content.items():
        if not isinstance(name, str):
            problem = f"{name!r} has no name, but a key of type {type(name).__name__}"
        elif not isinstance(value, Tensor):
            problem = f"{name!r} is of type {type(value).__name__}, not a tensor"
        elif value.layout != torch.strided or value.is_quantized or value.is_nested or value.is_meta:
            problem = f"{name!r} is a tensor without plain values (sparse, quantised, nested or on the meta device)"
        else:
            continue
        raise CheckpointError(f"{where} is not a state dict: its entry {problem}")
    try:
        return strip_wrappers(content)
    except ValueError as error:
        raise CheckpointError(f"{where} {error}") from error


def _recognise(state: Mapping[str, Tensor], where: str) -> tuple[str, Callable[[str], str | None]]:
    """Return the layout of a state dict, and the function from this project's names to the names in it."""
    if "conv1.0.weight" in state:
        return "timm", timm_name
    if any(name.startswith(("PSPAlign.", "CDGNet.", "SPFlt", "Attention.", "cmbEdge.")) for name in state):
        return "published CSENet", published_name
    if any(name.startswith("context_alignment.") for name in state):
        return "CSENet", lambda name: name
    if "conv1.weight" in state and "layer1.0.conv1.weight" in state:
        return "ImageNet", imagenet_name
    raise CheckpointError(
        f"{where} is another network: its {len(state)} tensors ({_first(state)}) are neither a CSENet's nor those of "
        "a ResNet backbone"
    )


def _check_classes(state: Mapping[str, Tensor], classifier: str | None, model: CSENet, where: str) -> None:
    """Say it plainly where only the number of classes differs, before the shapes are compared."""
    if classifier is not None and classifier in state and state[classifier].dim():
        classes = state[classifier].shape[0]
        if classes != model.num_classes:
            raise CheckpointError(f"{where} has {classes} classes, the model {model.num_classes}")


def _check_names_and_shapes(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], layout: str, where: str
) -> None:
    """Compare a state dict with what a layout should hold; report everything that differs in one error."""
    # Files from the first years of PyTorch lack the BatchNorms' step counters, which nothing here uses.
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    if layout in ("ImageNet", "timm"):
        unexpected = [name for name in unexpected if not name.startswith("fc.")]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    retyped = [
        f"{name} {state[name].dtype} instead of {tensor.dtype}"
        for name, tensor in expected.items()
        if name in state and not _converts(state[name].dtype, tensor.dtype)
    ]
    differences = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": reshaped,
        "of another type": retyped,
    }
    problems = [f"{len(names)} {what} ({_first(names)})" for what, names in differences.items() if names]
    if problems:
        raise CheckpointError(
            f"{where} has the {layout} layout but does not fit the model, which expects {len(expected)} tensors: "
            + "; ".join(problems)
        )


def _converts(dtype: torch.dtype, wanted: torch.dtype) -> bool:
    """Say whether numbers of a type can stand for a tensor: weights of any usual precision, counters of any width."""
    if wanted.is_floating_point:
        return dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def _check_finite(state: Mapping[str, Tensor], where: str) -> None:
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CheckpointError(
            f"{where} holds NaN or infinite values in {len(broken)} tensors ({_first(broken)}); the run that wrote "
            "it had diverged, use an earlier snapshot"
        )


def _first(names: Mapping[str, Tensor] | list[str], count: int = 4) -> str:
    """List the first few names, and dots if there are more."""
    shown = list(names)[:count]
    return _printable(", ".join(shown)) + (", ..." if len(names) > len(shown) else "")


def _printable(text: str) -> str:
    """Replace what a terminal could take for a command: names and reasons can come from a damaged or hostile file."""
    return "".join(character if character.isprintable() else "?" for character in text)
