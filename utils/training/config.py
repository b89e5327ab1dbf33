"""The command line of train.py."""

import argparse

import torch

from networks.resnet import BLOCKS
from utils.cli import HelpFormatter, size_option
from utils.distributed import Processes
from utils.inference.crop_parser import AMP_DTYPES, available_cores

IMAGES_PER_STEP = 16


def parse_training_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; options that depend on the machine are still None, see `settle`."""
    parser = argparse.ArgumentParser(
        description="Train CSENet on a human-parsing dataset. The defaults are the published schedule.",
        formatter_class=HelpFormatter,
    )
    _add_data_options(parser.add_argument_group("data"))
    _add_schedule_options(parser.add_argument_group("schedule"))
    _add_network_options(parser.add_argument_group("network and speed"))
    _add_result_options(parser.add_argument_group("results"))
    return parser.parse_args(arguments)


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--data-dir", required=True, help="the dataset's folder")
    add("--dataset", help="its name, if the folder does not tell: lip, cihp, atr, pascal_person_part, ade20k")
    add("--input-size", type=size_option, default=(473, 473), metavar="H,W", help="training crop")
    add("--num-classes", type=int, help="only checked: the dataset knows its number of classes")
    add("--ignore-label", type=int, help="only checked: the dataset knows its ignore label")
    for name, what in (
        ("--random-mirror", "mirror half of the crops"),
        ("--random-scale", "scale each crop, by 0.75 to 1.25"),
        ("--random-rotation", "rotate six crops in ten"),
        ("--random-colour", "blur, jitter or grey half of the crops"),
        ("--mixup", "mix three batches in ten with themselves"),
    ):
        add(name, action=argparse.BooleanOptionalAction, default=True, help=what)
    add("--num-workers", type=int, help="processes that read photographs (default: by the number of cores)")


def _add_schedule_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--epochs", type=int, default=150)
    add("--batch-size", type=int, help="images per process and batch (default: what makes 16 a step altogether)")
    add(
        "--accumulate",
        type=int,
        default=1,
        metavar="N",
        help="add the gradients of N batches for one step. A step then has batch-size x N x processes images; the "
        "learning rate is meant for 16 and does not follow by itself: scale it in proportion",
    )
    add("--learning-rate", type=float, default=2.5e-3, help="at the start, for 16 images a step")
    add("--power", type=float, default=0.9, help="rate = learning rate x (1 - step / steps) ^ power")
    add("--momentum", type=float, default=0.9)
    add("--weight-decay", type=float, default=5e-4)
    add("--random-seed", type=int, default=0)


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--restore-from",
        metavar="FILE",
        help="starting weights: an ImageNet backbone, or a CSENet of any classes and crop, of which classes "
        "of the same name are kept",
    )
    add("--depth", type=int, choices=sorted(BLOCKS), default=101, help="of the backbone")
    add("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    add("--amp", choices=list(AMP_DTYPES), help="mixed precision (default: bf16 where the GPU has it, else off)")
    add("--compile", action="store_true", help="compile the network first (minutes, then faster steps)")
    add("--deterministic", action="store_true", help="the same bits in every run (on a GPU: as far as it can)")


def _add_result_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--snapshot-dir", default="snapshots", help="where snapshots and logs go")
    add("--resume", metavar="FILE|auto", help="continue an interrupted run; auto: if the snapshot folder has one")
    add("--val-every", type=int, default=5, metavar="EPOCHS", help="measure the mIoU (one scale, no mirror)")
    add("--val-batch-size", type=int, default=16, help="images at once while doing so")
    add("--keep-every", type=int, default=0, metavar="EPOCHS", help="also keep these snapshots (0: none)")
    add("--log-every", type=int, default=20, metavar="STEPS", help="log the loss of every such step")


def settle(options: argparse.Namespace, processes: Processes) -> None:
    """Replace the defaults that depend on the machine by values; raise ValueError where the options cannot work."""
    for name in ("epochs", "accumulate", "val_every", "val_batch_size", "log_every"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    for name in ("random_seed", "keep_every"):
        if getattr(options, name) < 0:
            raise ValueError(f"--{name.replace('_', '-')} must not be negative")
    if options.batch_size is None:
        options.batch_size, rest = divmod(IMAGES_PER_STEP, processes.world_size * options.accumulate)
        if rest or not options.batch_size:
            raise ValueError(
                f"16 images a step cannot be divided over {processes.world_size} processes x --accumulate "
                f"{options.accumulate}; set --batch-size"
            )
    if options.batch_size < 1:
        raise ValueError("--batch-size must be at least 1")
    if options.num_workers is None:
        options.num_workers = min(8, max(1, available_cores() // processes.local_world_size))
    if options.amp is None:
        on_gpu = processes.device.type == "cuda"
        options.amp = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "off"
    if options.amp == "fp16" and processes.device.type != "cuda":
        raise ValueError("--amp fp16 needs a GPU; use --amp bf16 or --amp off on the CPU")
