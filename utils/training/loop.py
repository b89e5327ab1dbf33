"""The training, from top to bottom: its set-up, its epochs, their steps, and what happens between them."""

import time
from collections.abc import Callable

from torch import Tensor
from torch.utils.data import DataLoader

from dataset.descriptions import list_samples, load_description
from dataset.layouts import Sample
from dataset.loading import batches_of
from networks import CSENet
from utils.distributed import from_main, print_from_main, reduce_flags, start_processes
from utils.progress import Progress, duration
from utils.training.config import TrainConfig
from utils.training.folder import RunFolder
from utils.training.log import EpochLosses, RunLog
from utils.training.setup import BuildNetwork, announce, choose_algorithms, starting_state, training_loader
from utils.training.state import TrainingState, advice_after_divergence, save_snapshot
from utils.training.step import take_step
from utils.training.stopping import StopRequest, TrainingDivergedError, TrainingStoppedError
from utils.training.validation import validate


def train(config: TrainConfig, *, build_network: BuildNetwork = CSENet) -> None:
    """Train a network as the config says, or go on with an interrupted run.

    `build_network` is called as `CSENet(num_classes, input_size, depth=depth)`.

    Raises TrainingStoppedError after a signal, with the state saved; TrainingDivergedError; CheckpointError,
    DatasetError, ValueError and OSError for files and options that cannot be used.
    """
    with StopRequest() as stop:
        processes = start_processes(config.device)
        description = load_description(config.data_dir, config.dataset)
        samples = {split: list_samples(config.data_dir, description, split) for split in ("train", "val")}
        resolved = config.resolve(processes)
        resolved.check_dataset(description)
        choose_algorithms(deterministic=resolved.deterministic, amp=resolved.amp, device=processes.device)
        with RunFolder(config.snapshot_dir, description.name, is_main=processes.is_main) as folder:
            state = starting_state(
                resolved, description, processes, folder, num_images=len(samples["train"]), build_network=build_network
            )
            announce(state, samples)
            with RunLog(folder) as log:
                train_epochs(state, samples, log, stop)
            # A run that went on from another folder may have had its best there.
            best = folder.written("Best") or "measured before the snapshot that the run went on from"
            print_from_main(f"Done. Best mIoU {state.best_mean_iou:.2f}: {best}")


def train_epochs(state: TrainingState, samples: dict[str, list[Sample]], log: RunLog, stop: StopRequest) -> None:
    """Train all epochs that are left, with a validation now and then and a snapshot after each."""
    config = state.config
    loader = training_loader(state, samples["train"])
    start, first_step = time.monotonic(), state.step

    def time_left() -> str:
        per_step = (time.monotonic() - start) / (state.step - first_step)
        return duration(per_step * (state.total_steps - state.step))

    for epoch in range(state.finished_epochs + 1, config.epochs + 1):
        if state.step < epoch * state.batches.steps_per_epoch:  # else stopped between the last step and the validation
            train_epoch(state, epoch, loader, log, stop, time_left)
        if samples["val"] and (epoch % config.val_every == 0 or epoch == config.epochs):
            save_snapshot(state, "Last")  # a validation can take long, and fail
            leave_if_needed(state, epoch, stop, log)
            validate(state, samples["val"], epoch, log)
        if config.keep_every and epoch % config.keep_every == 0:
            save_snapshot(state, epoch, finished_epochs=epoch)
        state.finished_epochs = epoch
        leave_if_needed(state, epoch, stop, log)
        save_snapshot(state, "Last")


def train_epoch(
    state: TrainingState,
    epoch: int,
    loader: DataLoader[dict[str, Tensor]],
    log: RunLog,
    stop: StopRequest,
    time_left: Callable[[], str],
) -> None:
    """Take the steps of an epoch (counted from 1) that are left."""
    steps, images = state.batches.steps_per_epoch, state.batches.images_per_step
    done = state.step - (epoch - 1) * steps
    state.batches.start_at(epoch - 1, done)
    state.model.train()
    losses = EpochLosses(state, log)
    start = time.monotonic()
    title, quiet = f"epoch {epoch}/{state.config.epochs}", not state.processes.is_main
    with (
        Progress(title, steps * images, "images", done=done * images, quiet=quiet) as progress,
        batches_of(loader) as batches,
    ):
        for step in range(done + 1, steps + 1):
            problem = losses.add(take_step(state, batches), last=step == steps)
            leave_if_needed(state, epoch, stop, log, problem)
            note = f"loss {losses.rows[-1]['loss']:.3f}, run {time_left()} left" if losses.rows else None
            progress.advance(images, note)
    losses.log_means(epoch, (steps - done) * images / (time.monotonic() - start))


def leave_if_needed(
    state: TrainingState, epoch: int, stop: StopRequest, log: RunLog, problem: str | None = None
) -> None:
    """End the run, in all processes together, if one has a problem (its loss is not finite) or was sent a signal, or if
    the log cannot be written."""
    diverged, stopped, unlogged = reduce_flags([problem is not None, stop.signal is not None, log.failure is not None])
    if diverged:
        raise TrainingDivergedError(
            f"{problem or 'another process: the loss is not finite'}. Nothing was saved after it; "
            f"{advice_after_divergence(state)}"
        )
    if stopped or unlogged:
        save_snapshot(state, "Last")
    if unlogged:
        from_main(log.raise_failure)
    if stopped:
        raise TrainingStoppedError(
            f"stopped in epoch {epoch} after step {state.step} of {state.total_steps}; "
            f"{state.folder.snapshot('Last')} holds the state",
            stop.exit_status,
        )
