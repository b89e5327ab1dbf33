"""Entry points for torch.hub: `torch.hub.load(FOLDER_OR_REPOSITORY, "csenet_resnet101", checkpoint=...)`.

The project's packages are called dataset, modules, networks and utils. A program that has imported packages of its own
with these names cannot load this one beside them; the error says so.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

dependencies = ["torch", "numpy"]

_FOLDER = Path(__file__).resolve().parent

for _name in ("dataset", "modules", "networks", "utils"):
    _other = sys.modules.get(_name)
    if _other is not None and Path(getattr(_other, "__file__", None) or "").resolve().parent != _FOLDER / _name:
        raise ImportError(
            f"CSENet has a package '{_name}', but this program has already imported another one of that name "
            f"({_other}); load CSENet in a program of its own"
        )

from networks import CSENet  # noqa: E402
from utils.checkpoint import CheckpointError  # noqa: E402
from utils.checkpoint.snapshots import load_model  # noqa: E402

if TYPE_CHECKING:
    from utils.inference import HumanParser


def csenet_resnet101(
    checkpoint: str | None = None, num_classes: int | None = None, input_size: tuple[int, int] | None = None
) -> CSENet:
    """Return the published network: `model(images).final` are the logits.

    Args:
        checkpoint: a snapshot or published weights, for a network in evaluation mode; without it all tensors are
            initialised for training from scratch, and the network is in training mode.
        num_classes: default, the checkpoint's; 20 without one.
        input_size: (height, width) of the training crop; default, the snapshot's; 473 x 473 where nothing says it.

    Raises CheckpointError for files that hold no such network, ValueError for a size or number that is impossible.
    """
    return _csenet(101, checkpoint, num_classes, input_size)


def csenet_resnet50(
    checkpoint: str | None = None, num_classes: int | None = None, input_size: tuple[int, int] | None = None
) -> CSENet:
    """Return the network with the smaller backbone; see `csenet_resnet101`."""
    return _csenet(50, checkpoint, num_classes, input_size)


def human_parser(checkpoint: str, **options: Any) -> "HumanParser":
    """Return a `HumanParser`; the options are those of its `from_checkpoint`.

    Raises ImportError where OpenCV or Pillow are not installed, which the networks do without.
    """
    try:
        from utils.inference import HumanParser
    except ModuleNotFoundError as error:
        raise ImportError(f"human_parser reads pictures and needs {error.name}: see requirements.txt") from error
    return HumanParser.from_checkpoint(checkpoint, **options)


def _csenet(depth: int, checkpoint: str | None, num_classes: int | None, input_size: tuple[int, int] | None) -> CSENet:
    if checkpoint is None:
        return CSENet(
            20 if num_classes is None else num_classes, (473, 473) if input_size is None else input_size, depth=depth
        )
    model = load_model(checkpoint, input_size=input_size).model
    if model.depth != depth:
        raise CheckpointError(f"'{checkpoint}' has a backbone of depth {model.depth}: load csenet_resnet{model.depth}")
    if num_classes not in (None, model.num_classes):
        raise CheckpointError(f"'{checkpoint}' has {model.num_classes} classes, not {num_classes}")
    return model
