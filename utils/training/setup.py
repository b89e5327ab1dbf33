"""What happens before the first step: how a training is computed, where it starts, what it reads, what it says."""

import os
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dataset.crops import TrainingCrops, worker_init
from dataset.descriptions import DatasetDescription
from dataset.files import show
from dataset.layouts import Sample
from dataset.sampling import TrainingBatches
from dataset.suspicions import look_before_training
from networks import CSENet
from utils.checkpoint import read_checkpoint
from utils.checkpoint.transfer import start_from
from utils.distributed import Processes, from_main, print_from_main
from utils.training.config import ResolvedConfig
from utils.training.folder import RunFolder
from utils.training.resuming import find_snapshot
from utils.training.state import TrainingState

BuildNetwork = Callable[..., CSENet]
"""Builds a network as `CSENet(num_classes, input_size, depth=depth)` does."""


def choose_algorithms(*, deterministic: bool, amp: str, device: torch.device) -> None:
    """Choose the same algorithms in every run, or the fastest."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Some backward passes on GPUs (bilinear sampling) have no deterministic form; there it warns.
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    else:
        # Trying them out takes half a minute, and gains only in float32 without TF32 (see benchmarks/README.md).
        torch.backends.cudnn.benchmark = amp == "off"


def starting_state(
    config: ResolvedConfig,
    description: DatasetDescription,
    processes: Processes,
    folder: RunFolder,
    *,
    num_images: int,
    build_network: BuildNetwork,
) -> TrainingState:
    """Build the network for a dataset of `num_images` and fill it: from an interrupted run, `--restore-from` or chance.

    Raises CheckpointError and ValueError where a file or the number of images does not fit.
    """
    snapshot = from_main(lambda: find_snapshot(config, folder))
    folder.start_from(snapshot)
    torch.manual_seed(config.random_seed)
    model = build_network(description.num_classes, config.input_size, depth=config.depth)
    if snapshot is None and config.restore_from is not None:
        print_from_main(start_from(model, description, config.restore_from))
    batches = TrainingBatches(
        num_images,
        config.batch_size,
        accumulate=config.accumulate,
        rank=processes.rank,
        world_size=processes.world_size,
        seed=config.random_seed,
    )
    state = TrainingState(model, description, config, processes, batches, folder)
    if snapshot is not None:
        state.load_state_dict(read_checkpoint(snapshot), where=f"'{snapshot}'")
        print_from_main(f"Continuing from {snapshot}: step {state.step} of {state.total_steps}.")
    return state


def training_loader(state: TrainingState, samples: Sequence[Sample]) -> DataLoader[dict[str, Tensor]]:
    """Return batches of random crops, of the epoch that `state.batches` is at."""
    config = state.config
    crops = TrainingCrops(
        samples,
        state.description,
        input_size=config.input_size,
        seed=config.random_seed,
        random_mirror=config.random_mirror,
        random_scale=config.random_scale,
        random_rotation=config.random_rotation,
        random_colour=config.random_colour,
    )
    return DataLoader(
        crops,
        batch_sampler=state.batches,
        num_workers=config.num_workers,
        persistent_workers=config.num_workers > 0,
        worker_init_fn=worker_init,
        pin_memory=state.device.type == "cuda",
    )


def announce(state: TrainingState, samples: dict[str, list[Sample]]) -> None:
    """Say from the main process what will be trained where, and what looks wrong with the labels."""
    if not state.processes.is_main:
        return
    config, device = state.config, state.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({torch.get_num_threads()} threads)"
    show(
        f"{state.description.name}: {len(samples['train'])} training and {len(samples['val'])} validation images, "
        f"{state.description.num_classes} classes; {state.total_steps} steps of {state.batches.images_per_step} images "
        f"on {state.processes.world_size} x {name}, amp {config.amp}; snapshots and logs in {config.snapshot_dir}",
    )
    for line in look_before_training(samples, state.description, workers=max(1, config.num_workers)):
        show(line)
