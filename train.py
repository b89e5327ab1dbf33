"""Train CSENet: `./run.sh` with everything found by itself, or `python train.py --help`."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import torch

from dataset.descriptions import list_samples, load_description
from dataset.layouts import DatasetError
from networks import CSENet
from networks.resnet import BLOCKS
from utils.checkpoint import CheckpointError, load_weights, read_checkpoint
from utils.crop_parser import AMP_DTYPES, available_cores
from utils.distributed import Processes, reduce_flags, restart_count, start_processes, stop_processes
from utils.options import size_option
from utils.stopping import StopRequest
from utils.training import TrainingDivergedError, TrainingRun, TrainingStoppedError

IMAGES_PER_STEP = 16


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train CSENet on a human-parsing dataset. The defaults are the published schedule.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    group = parser.add_argument_group("data")
    group.add_argument("--data-dir", required=True, help="the dataset's folder")
    group.add_argument(
        "--dataset", help="its name, where the folder does not tell: lip, cihp, atr, pascal_person_part, ade20k"
    )
    group.add_argument("--input-size", type=size_option, default=(473, 473), metavar="H,W", help="training crop")
    group.add_argument("--num-classes", type=int, help="only checked: the dataset knows its number of classes")
    group.add_argument("--ignore-label", type=int, help="only checked: the dataset knows its ignore label")
    group.add_argument(
        "--random-mirror", action=argparse.BooleanOptionalAction, default=True, help="mirror half of the crops"
    )
    group.add_argument(
        "--random-scale", action=argparse.BooleanOptionalAction, default=True, help="scale by 0.75 to 1.25"
    )
    group.add_argument(
        "--mixup", action=argparse.BooleanOptionalAction, default=True, help="mix 3 batches in 10 with themselves"
    )
    group.add_argument(
        "--num-workers", type=int, help="processes that read photographs (default: by the number of cores)"
    )
    group = parser.add_argument_group("schedule")
    group.add_argument("--epochs", type=int, default=150)
    group.add_argument(
        "--batch-size", type=int, help="images per process and batch (default: what makes 16 a step over all processes)"
    )
    group.add_argument(
        "--accumulate", type=int, default=1, metavar="N",
        help="add the gradients of N batches for one step. A step then has batch-size x N x processes images; the "
        "learning rate is meant for 16 and does not follow by itself: scale it in proportion",
    )  # fmt: skip
    group.add_argument("--learning-rate", type=float, default=2.5e-3, help="at the start, for 16 images a step")
    group.add_argument("--power", type=float, default=0.9, help="rate = learning rate x (1 - step / steps) ^ power")
    group.add_argument("--momentum", type=float, default=0.9)
    group.add_argument("--weight-decay", type=float, default=5e-4)
    group.add_argument("--random-seed", type=int, default=0)
    group = parser.add_argument_group("network")
    group.add_argument("--restore-from", metavar="FILE", help="starting weights: an ImageNet backbone or a CSENet")
    group.add_argument("--depth", type=int, choices=sorted(BLOCKS), default=101, help="of the backbone")
    group = parser.add_argument_group("speed")
    group.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: a GPU if there is one)")
    group.add_argument(
        "--amp", choices=list(AMP_DTYPES), help="mixed precision (default: bf16 where the GPU has it, else off)"
    )
    group.add_argument("--compile", action="store_true", help="compile the network first (minutes, then faster steps)")
    group.add_argument(
        "--deterministic", action="store_true", help="the same bits in every run (on a GPU: as far as it can)"
    )
    group = parser.add_argument_group("results")
    group.add_argument("--snapshot-dir", default="snapshots", help="where snapshots and logs go")
    group.add_argument(
        "--resume", metavar="FILE|auto", help="continue an interrupted run; auto: if the snapshot folder has one"
    )
    group.add_argument(
        "--val-every", type=int, default=5, metavar="EPOCHS", help="measure the validation mIoU (one scale, no mirror)"
    )
    group.add_argument("--val-batch-size", type=int, default=16)
    group.add_argument(
        "--keep-every", type=int, default=0, metavar="EPOCHS", help="also keep these snapshots (0: none)"
    )
    group.add_argument("--log-every", type=int, default=20, metavar="STEPS", help="log the loss of every such step")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the training; return the exit status."""
    logging.basicConfig(format="%(message)s")
    options = parse_options(arguments)
    stop = StopRequest()
    stop.listen()
    processes = None
    try:
        processes = start_processes(options.device)
        train(options, processes, stop)
    except TrainingStoppedError as event:
        say(processes, f"{event}; continue with --resume auto")
        return stop.exit_status
    except (CheckpointError, DatasetError, TrainingDivergedError, ValueError) as error:
        print(f"train.py: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        stop_processes()
    return 0


def train(options: argparse.Namespace, processes: Processes, stop: StopRequest) -> None:
    """Settle the options, build the network and the run, and train."""
    description = load_description(options.data_dir, options.dataset)
    samples = {split: list_samples(options.data_dir, description, split) for split in ("train", "val")}
    settle(options, processes)
    for name, given, actual in (
        ("--num-classes", options.num_classes, description.num_classes),
        ("--ignore-label", options.ignore_label, description.ignore_label),
    ):
        if given is not None and given != actual:
            raise ValueError(f"{name} {given} does not fit the dataset {description.name}, which has {actual}")
    set_determinism(options, processes)
    torch.manual_seed(options.random_seed)
    model = CSENet(description.num_classes, options.input_size, depth=options.depth)
    snapshot = find_snapshot(options, description.name)
    content: dict[str, Any] | None = None
    if snapshot is not None:
        content = read_checkpoint(snapshot)
        load_weights(model, content, where=f"'{snapshot}'")
    elif options.restore_from:
        load_weights(model, options.restore_from)
    run = TrainingRun(model, description, samples, options, processes, stop)
    if content is not None:
        run.restore(content)
        say(processes, f"Continuing from {snapshot}: step {run.step} of {run.total_steps}.")
    say(
        processes,
        f"{description.name}: {len(samples['train'])} training and {len(samples['val'])} validation images, "
        f"{description.num_classes} classes; {run.total_steps} steps of {run.batches.images_per_step} images on "
        f"{processes.world_size} x {device_name(processes.device)}, "
        f"amp {options.amp}; snapshots and logs in {options.snapshot_dir}",
    )
    run.run()
    say(processes, f"Done. Best mIoU {run.best_mean_iou:.2f}: {run.best_path}")


def settle(options: argparse.Namespace, processes: Processes) -> None:
    """Replace the defaults that depend on the machine by values, and check the rest."""
    for name in ("epochs", "accumulate", "val_every", "val_batch_size", "log_every"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    if options.batch_size is None:
        options.batch_size, rest = divmod(IMAGES_PER_STEP, processes.world_size * options.accumulate)
        if rest or not options.batch_size:
            raise ValueError(
                f"16 images a step cannot be divided over {processes.world_size} processes x --accumulate "
                f"{options.accumulate}; set --batch-size"
            )
    if options.batch_size * options.accumulate < 1:
        raise ValueError("--batch-size must be at least 1")
    if options.num_workers is None:
        options.num_workers = min(8, max(1, available_cores() // processes.local_world_size))
    if options.amp is None:
        on_gpu = processes.device.type == "cuda"
        options.amp = "bf16" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "off"
    if options.amp == "fp16" and processes.device.type != "cuda":
        raise ValueError("--amp fp16 needs a GPU; use --amp bf16 or --amp off on the CPU")


def set_determinism(options: argparse.Namespace, processes: Processes) -> None:
    """Choose the same algorithms in every run, or the fastest."""
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Some backward passes on GPUs (bilinear sampling) have no deterministic form; there it warns.
        torch.use_deterministic_algorithms(True, warn_only=processes.device.type == "cuda")
    else:
        torch.backends.cudnn.benchmark = True


def find_snapshot(options: argparse.Namespace, dataset_name: str) -> str | None:
    """Return the snapshot to continue from, if there is one to."""
    if options.resume not in (None, "auto"):
        return options.resume
    last = Path(options.snapshot_dir) / f"{dataset_name.upper()}_epoch_Last.pth"
    # Processes that torchrun started again after a crash go on from where the run was saved. On several machines
    # only those of the machine with the crash know that it is not their first start.
    wanted, exists = reduce_flags([options.resume == "auto" or restart_count() > 0, last.exists()])
    return str(last) if wanted and exists else None


def device_name(device: torch.device) -> str:
    """Return what the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"


def say(processes: Processes | None, text: str) -> None:
    """Print from the main process alone."""
    if processes is None or processes.is_main:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
