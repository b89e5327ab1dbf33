"""Where a network computes, and how precisely."""

import functools
import logging
from typing import Any

import torch

logger = logging.getLogger(__name__)

AMP_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(device: str | None = None, *, for_prediction: bool = False) -> torch.device:
    """Return the named device; without a name a CUDA GPU if there is one, else the CPU.

    "mps", the GPU of a Mac, is for prediction, and never chosen by itself: nobody has tried CSENet on it yet. Raises
    ValueError for a device that is not there or that CSENet does not compute on.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"{device!r} is not a device; use for example cpu, cuda or cuda:1") from error
    if chosen.type not in counts:
        raise ValueError(f"CSENet does not compute on {device!r}; use one of {', '.join(counts)}")
    if chosen.type == "mps" and not for_prediction:
        raise ValueError(f"{device!r} is for prediction (predict.py, app.py); train and evaluate on cpu or cuda")
    # PyTorch wraps large numbers around: it takes cuda:256 for cuda:0.
    if str(chosen) != device or (chosen.index or 0) >= counts[chosen.type]:
        kind = "GPUs" if chosen.type == "cuda" else f"{chosen.type} devices"
        raise ValueError(f"there is no device {device!r}: PyTorch sees {counts[chosen.type]} {kind} here")
    return chosen


def check_amp(amp: str | None, device: torch.device) -> None:
    """Raise ValueError for a mixed precision (a key of AMP_DTYPES, or None) that a device has not, or only slowly."""
    if amp == "fp16" and device.type == "cpu":  # sixteen times as slow as without, and training has no gradients left
        raise ValueError("--amp fp16 needs a GPU; use --amp bf16 or --amp off on the CPU")


@functools.cache  # one warning is enough
def warn_of_slow_amp(amp: str, device: torch.device) -> None:
    """Say so where PyTorch emulates a mixed precision: its figures are right, but it takes longer than none."""
    # Older releases of PyTorch do not tell what a processor has.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    has_bf16 = any(capabilities.get(unit) for unit in ("avx512_bf16", "amx_bf16"))
    if amp == "bf16" and device.type == "cpu" and capabilities.get("architecture") == "x86_64" and not has_bf16:
        logger.warning("this processor does not compute in bf16: PyTorch emulates it, which is slower than --amp off")
