"""What a training is to do: the options of train.py as one typed, checked value."""

import argparse
from dataclasses import MISSING, asdict, dataclass, fields

import torch

from dataset.descriptions import DatasetDescription
from dataset.workers import default_workers
from networks.resnet import BLOCKS
from utils.cli import HelpFormatter, size_option
from utils.distributed import Processes
from utils.inference.engines import AMP_DTYPES

IMAGES_PER_STEP = 16


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The options of train.py, whose `--help` says what each means; the defaults are the published schedule.

    None stands for what depends on the machine or the dataset. Raises ValueError for values that can never work.
    """

    data_dir: str
    dataset: str | None = None
    input_size: tuple[int, int] = (473, 473)
    num_classes: int | None = None
    ignore_label: int | None = None
    random_mirror: bool = True
    random_scale: bool = True
    random_rotation: bool = True
    random_colour: bool = True
    mixup: bool = True
    num_workers: int | None = None

    epochs: int = 150
    batch_size: int | None = None
    accumulate: int = 1
    learning_rate: float = 2.5e-3
    power: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 5e-4
    random_seed: int = 0

    restore_from: str | None = None
    depth: int = 101
    device: str | None = None
    amp: str | None = None
    compile: bool = False
    deterministic: bool = False

    snapshot_dir: str = "snapshots"
    resume: str | None = None
    val_every: int = 5
    val_batch_size: int = 16
    keep_every: int = 0
    log_every: int = 20

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "val_every", "val_batch_size", "log_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
        for name in ("random_seed", "keep_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name.replace('_', '-')} must not be negative")

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
        if amp == "fp16" and not on_gpu:
            raise ValueError("--amp fp16 needs a GPU; use --amp bf16 or --amp off on the CPU")
        resolved = {"batch_size": batch_size, "num_workers": num_workers, "amp": amp}
        return ResolvedConfig(**asdict(self) | resolved)


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(TrainConfig):
    """A config in which nothing that depends on the machine is left open."""

    batch_size: int
    num_workers: int
    amp: str


def parse_config(arguments: list[str] | None = None) -> TrainConfig:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train CSENet on a human-parsing dataset. The defaults are the published schedule.",
        formatter_class=HelpFormatter,
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_schedule_options(parser.add_argument_group("schedule"))
    _add_network_options(parser.add_argument_group("network and speed"))
    _add_result_options(parser.add_argument_group("results"))
    parser.set_defaults(**{field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING})
    return TrainConfig(**vars(parser.parse_args(arguments)))


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data-dir", required=True, help="the dataset's folder")
    add("--dataset", help="its name, if the folder does not tell: lip, cihp, atr, pascal_person_part, ade20k")
    add("--input-size", type=size_option, metavar="H,W", help="training crop")
    add("--num-classes", type=int, help="only checked: the dataset knows its number of classes")
    add("--ignore-label", type=int, help="only checked: the dataset knows its ignore label")
    for name, what in (
        ("--random-mirror", "mirror half of the crops"),
        ("--random-scale", "scale each crop, by 0.75 to 1.25"),
        ("--random-rotation", "rotate six crops in ten"),
        ("--random-colour", "blur, jitter or grey half of the crops"),
        ("--mixup", "mix three batches in ten with themselves"),
    ):
        add(name, action=argparse.BooleanOptionalAction, help=what)
    add("--num-workers", type=int, help="processes that read photographs (default: by the number of cores)")


def _add_schedule_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--epochs", type=int)
    add("--batch-size", type=int, help="images per process and batch (default: what makes 16 a step altogether)")
    add(
        "--accumulate",
        type=int,
        metavar="N",
        help="add the gradients of N batches for one step. A step then has batch-size x N x processes images; the "
        "learning rate is meant for 16 and does not follow by itself: scale it in proportion",
    )
    add("--learning-rate", type=float, help="at the start, for 16 images a step")
    add("--power", type=float, help="rate = learning rate x (1 - step / steps) ^ power")
    add("--momentum", type=float)
    add("--weight-decay", type=float)
    add("--random-seed", type=int)


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--restore-from",
        metavar="FILE",
        help="starting weights: an ImageNet backbone, or a CSENet of any classes and crop, of which classes "
        "of the same name are kept",
    )
    add("--depth", type=int, choices=sorted(BLOCKS), help="of the backbone")
    add("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    add("--amp", choices=list(AMP_DTYPES), help="mixed precision (default: bf16 where the GPU has it, else off)")
    add("--compile", action="store_true", help="compile the network first (minutes, then faster steps)")
    add("--deterministic", action="store_true", help="the same bits in every run (on a GPU: as far as it can)")


def _add_result_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--snapshot-dir", help="where snapshots and logs go")
    add("--resume", metavar="FILE|auto", help="continue an interrupted run; auto: if the snapshot folder has one")
    add("--val-every", type=int, metavar="EPOCHS", help="measure the mIoU (one scale, no mirror)")
    add("--val-batch-size", type=int, help="images at once while doing so")
    add("--keep-every", type=int, metavar="EPOCHS", help="also keep these snapshots (0: none)")
    add("--log-every", type=int, metavar="STEPS", help="log the loss of every such step")
