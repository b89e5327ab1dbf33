"""Train CSENet: `./run.sh` with everything found by itself, or `python train.py --help`."""

import argparse
import contextlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

import torch

from dataset.descriptions import DatasetDescription, list_samples, load_description
from dataset.layouts import DatasetError
from dataset.suspicions import look_before_training
from networks import CSENet
from utils.checkpoint.classes import check_same_classes
from utils.checkpoint.loading import CheckpointError, load_weights, read_checkpoint
from utils.checkpoint.snapshots import read_training
from utils.checkpoint.transfer import start_from
from utils.distributed import Processes, reduce_flags, restart_count, start_processes, stop_processes
from utils.training.config import parse_training_options, settle
from utils.training.loop import TrainingDivergedError, TrainingRun, TrainingStoppedError
from utils.training.stopping import StopRequest


def main(arguments: list[str] | None = None) -> int:
    """Run the training; return the exit status."""
    logging.basicConfig(format="%(message)s")
    options = parse_training_options(arguments)
    stop = StopRequest()
    processes = None
    try:
        with stop:
            processes = start_processes(options.device)
            train(options, processes, stop)
    except TrainingStoppedError as event:
        with contextlib.suppress(OSError):  # Ctrl-C also ends what the output is piped into
            say(processes, f"{event}; continue with --resume auto")
        return stop.exit_status
    except (CheckpointError, DatasetError, TrainingDivergedError, ValueError, OSError) as error:
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
        content = read_interrupted(snapshot, model, description)
    elif options.restore_from:
        say(processes, start_from(model, description, options.restore_from))
    run = TrainingRun(model, description, samples, options, processes, stop)
    if content is not None:
        run.restore(content)
        say(processes, f"Continuing from {snapshot}: step {run.step} of {run.total_steps}.")
    elif processes.is_main:
        run.set_aside_earlier()
    say(
        processes,
        f"{description.name}: {len(samples['train'])} training and {len(samples['val'])} validation images, "
        f"{description.num_classes} classes; {run.total_steps} steps of {run.batches.images_per_step} images on "
        f"{processes.world_size} x {device_name(processes.device)}, "
        f"amp {options.amp}; snapshots and logs in {options.snapshot_dir}",
    )
    if processes.is_main:
        for line in look_before_training(samples, description, workers=max(1, options.num_workers)):
            print(line, flush=True)
    run.run()
    say(processes, f"Done. Best mIoU {run.best_mean_iou:.2f}: {run.best_path}")


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


def read_interrupted(snapshot: str, model: CSENet, description: DatasetDescription) -> dict[str, Any]:
    """Return a snapshot's content, with its weights in `model`; raise CheckpointError where it has other classes."""
    where = f"'{snapshot}'"
    content = read_checkpoint(snapshot)
    load_weights(model, content, where=where)
    check_same_classes(read_training(content, where).description, model.num_classes, description, where=where)
    return content


def device_name(device: torch.device) -> str:
    """Return what the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"


def say(processes: Processes | None, text: str) -> None:
    """Print from the main process alone."""
    if processes is None or processes.is_main:
        print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
