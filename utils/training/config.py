"""What a training is to do: the options of train.py as one typed, checked value."""

import argparse
import math
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

import torch

from dataset.descriptions import DatasetDescription
from dataset.options import COUNT, PERIOD_OR_NEVER, SEED, WORKERS_OR_NONE, Number, OptionParser, Whole, checked
from dataset.workers import default_workers
from networks.resnet import BLOCKS
from utils.cli import IMAGES_AT_ONCE, HelpFormatter, device_option, parse_options, size_option
from utils.device import AMP_DTYPES, check_amp
from utils.distributed import Processes

IMAGES_PER_STEP = 16
LABEL = Whole(0, 255)
POSITIVE = Number("above 0", math.ulp(0))
NOT_NEGATIVE = Number("from 0 on", 0)
BELOW_ONE = Number("from 0 to below 1", 0, math.nextafter(1, 0))


def option(default: Any, help: str | None = None, **settings: Any) -> Any:
    """Return a field with its default and what argparse is to know of it; `type` where the default does not tell."""
    return field(default=default, metadata={"help": help, **settings})


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The options of train.py; the defaults are the published schedule.

    None stands for what depends on the machine or the dataset. Raises ValueError for values that can never work.
    """

    data_dir: str = option(MISSING, "the dataset's folder")
    dataset: str | None = option(
        None, "its name, if the folder does not tell: lip, cihp, atr, pascal_person_part, ade20k"
    )
    input_size: tuple[int, int] = option((473, 473), "training crop", type=size_option, metavar="H,W")
    num_classes: int | None = option(None, "only checked: the dataset knows its number of classes", type=LABEL)
    ignore_label: int | None = option(None, "only checked: the dataset knows its ignore label", type=LABEL)
    random_mirror: bool = option(True, "mirror half of the crops")
    random_scale: bool = option(True, "scale each crop, by 0.75 to 1.25")
    random_rotation: bool = option(True, "rotate six crops in ten")
    random_colour: bool = option(True, "blur, jitter or grey half of the crops")
    mixup: bool = option(True, "mix three batches in ten with themselves")
    num_workers: int | None = option(
        None, "processes that read photographs (default: by the number of cores)", type=WORKERS_OR_NONE
    )

    epochs: int = option(150, type=COUNT)
    batch_size: int | None = option(
        None, "images per process and batch (default: what makes 16 a step altogether)", type=IMAGES_AT_ONCE
    )
    accumulate: int = option(
        1,
        "add the gradients of N batches for one step. A step then has batch-size x N x processes images; the "
        "learning rate is meant for 16 and does not follow by itself: scale it in proportion",
        type=COUNT,
        metavar="N",
    )
    learning_rate: float = option(2.5e-3, "at the start, for 16 images a step", type=POSITIVE)
    power: float = option(0.9, "rate = learning rate x (1 - step / steps) ^ power", type=NOT_NEGATIVE)
    momentum: float = option(0.9, type=BELOW_ONE)
    weight_decay: float = option(5e-4, type=NOT_NEGATIVE)
    random_seed: int = option(0, type=SEED)

    restore_from: str | None = option(
        None,
        "starting weights: an ImageNet backbone, or a CSENet of any classes and crop, of which classes "
        "of the same name are kept",
        metavar="FILE",
    )
    depth: int = option(101, "of the backbone", choices=sorted(BLOCKS))
    device: str | None = option(None, "cpu, cuda, cuda:1 ... (default: a CUDA GPU if there is one)", type=device_option)
    amp: str | None = option(
        None, "mixed precision (default: bf16 where the GPU has it, else off)", choices=list(AMP_DTYPES)
    )
    compile: bool = option(False, "for GPUs: compile the backbone's blocks first, which takes a minute or more")
    deterministic: bool = option(False, "the same bits in every run (on a GPU: as far as it can)")

    snapshot_dir: str = option("snapshots", "where snapshots and logs go")
    resume: str | None = option(
        None, "continue an interrupted run; auto: if the snapshot folder has one", metavar="FILE|auto"
    )
    val_every: int = option(5, "measure the mIoU (one scale, no mirror)", type=COUNT, metavar="EPOCHS")
    val_batch_size: int = option(16, "images at once while doing so", type=IMAGES_AT_ONCE)
    keep_every: int = option(0, "also keep these snapshots (0: none)", type=PERIOD_OR_NEVER, metavar="EPOCHS")
    log_every: int = option(20, "log the loss of every such step", type=COUNT, metavar="STEPS")

    def __post_init__(self) -> None:
        for item in fields(TrainConfig):
            value = getattr(self, item.name)
            if value is not None and "type" in item.metadata:
                checked(f"--{item.name.replace('_', '-')}", item.metadata["type"], value)

    def check_dataset(self, description: DatasetDescription) -> None:
        """Raise ValueError where the user expects other labels than the dataset has."""
        for name in ("num_classes", "ignore_label"):
            expected, actual = getattr(self, name), getattr(description, name)
            if expected not in (None, actual):
                raise ValueError(
                    f"--{name.replace('_', '-')} {expected} does not fit the dataset {description.name}, "
                    f"which has {actual}"
                )

    def resolve(self, processes: Processes) -> "ResolvedConfig":
        """Return the config for this machine and number of processes; raise ValueError where it cannot work there."""
        on_gpu = processes.device.type == "cuda"
        batch_size, num_workers, amp = self.batch_size, self.num_workers, self.amp
        if batch_size is None:
            batch_size, rest = divmod(IMAGES_PER_STEP, processes.world_size * self.accumulate)
            if rest or not batch_size:
                raise ValueError(
                    f"16 images a step cannot be divided over {processes.world_size} processes x --accumulate "
                    f"{self.accumulate}; set --batch-size"
                )
        if num_workers is None:
            num_workers = default_workers(processes.local_world_size)
        if amp is None:
            amp = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "off"
        check_amp(amp, processes.device)
        resolved = {"batch_size": batch_size, "num_workers": num_workers, "amp": amp}
        return ResolvedConfig(**asdict(self) | resolved)


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(TrainConfig):
    """A config in which nothing that depends on the machine is left open."""

    batch_size: int
    num_workers: int
    amp: str


GROUPS = {"data_dir": "data", "epochs": "schedule", "restore_from": "network and speed", "snapshot_dir": "results"}
"""The groups of `--help`, by their first option."""


def parse_config(arguments: list[str] | None = None) -> TrainConfig:
    """Read the command line: an option for each field of `TrainConfig`."""
    parser = OptionParser(
        description="Train CSENet on a human-parsing dataset. The defaults are the published schedule.",
        formatter_class=HelpFormatter,
    )
    for item in fields(TrainConfig):
        if item.name in GROUPS:
            group = parser.add_argument_group(GROUPS[item.name])
        settings: dict[str, Any] = {"default": item.default, **item.metadata}
        if item.default is MISSING:
            settings |= {"default": None, "required": True}
        elif isinstance(item.default, bool):
            settings["action"] = argparse.BooleanOptionalAction if item.default else "store_true"
        elif item.default is not None:
            settings.setdefault("type", type(item.default))
        group.add_argument(f"--{item.name.replace('_', '-')}", **settings)
    return TrainConfig(**vars(parse_options(parser, arguments)))
