"""The state of a training: all that its steps change, and so what a snapshot holds."""

import dataclasses
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dataset.descriptions import DatasetDescription
from dataset.sampling import TrainingBatches
from networks import CSENet
from networks.resnet import Bottleneck
from utils.checkpoint import load_weights
from utils.checkpoint.classes import check_same_classes
from utils.checkpoint.files import CheckpointError
from utils.checkpoint.snapshots import read_training, snapshot_content, write_snapshot
from utils.distributed import Processes, from_main, reduce_flags
from utils.losses import CSENetLoss
from utils.training.config import ResolvedConfig
from utils.training.folder import RunFolder
from utils.training.resuming import check_snapshot, momentum_buffers
from utils.training.stopping import TrainingDivergedError


class TrainingState:
    """A network in training on its device, its optimiser, and how far they have come.

    Args:
        model: on the CPU, with its starting weights.
        batches: which of them this process takes, and how many images and steps they make.
        folder: where its snapshots go.
    """

    def __init__(
        self,
        model: CSENet,
        description: DatasetDescription,
        config: ResolvedConfig,
        processes: Processes,
        batches: TrainingBatches,
        folder: RunFolder,
    ) -> None:
        self.description, self.config, self.processes, self.batches = description, config, processes, batches
        self.folder = folder
        self.device = processes.device
        self.layout = fastest_layout(self.device)
        model = model.to(self.device).to(memory_format=self.layout)
        if self.device.type == "cuda" and processes.world_size > 1:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if config.compile:
            compile_blocks(model)
        self.model = model
        self.network: nn.Module = model  # what a step calls
        if dist.is_initialized():
            gpus = [self.device] if self.device.type == "cuda" else None
            self.network = DistributedDataParallel(model, device_ids=gpus)
        self.criterion = CSENetLoss(description.num_classes, has_background=description.has_background)
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,  # one pass over a hundred million weights: on a CPU ten times as fast
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.amp == "fp16")
        self.step = 0
        self.finished_epochs = 0
        self.best_mean_iou = -1.0

    @property
    def total_steps(self) -> int:
        """The number of steps of the whole schedule."""
        return self.config.epochs * self.batches.steps_per_epoch

    def learning_rate(self, step: int) -> float:
        """Return a step's rate: the base rate, falling to zero over all steps by a power law."""
        return self.config.learning_rate * (1 - step / self.total_steps) ** self.config.power

    def state_dict(self) -> dict[str, Any]:
        """Return the content of a snapshot from which the training can be continued."""
        return self.network_dict() | {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def is_finite(self) -> bool:
        """Whether all numbers that a snapshot holds are finite.

        In float16 a step may be skipped that had passed a BatchNorm already: the weights are well, its statistics not.
        """
        momentum = [tensor for values in self.optimizer.state.values() for tensor in values.values()]
        tensors = [*self.model.parameters(), *self.model.buffers(), *momentum]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors if isinstance(tensor, Tensor))

    def network_dict(self) -> dict[str, Any]:
        """Return the content of a snapshot that is only to be used: a third of the size."""
        return snapshot_content(
            self.model,
            self.description,
            step=self.step,
            finished_epochs=self.finished_epochs,
            steps_per_epoch=self.batches.steps_per_epoch,
            images_per_step=self.batches.images_per_step,
            best_mean_iou=self.best_mean_iou,
            options=dataclasses.asdict(self.config),
        )

    def load_state_dict(self, content: dict[str, Any], *, where: str) -> None:
        """Continue from a snapshot's content, which messages call `where`.

        Raises CheckpointError where its network or classes are others. Raises ValueError if it belongs to a run with
        another crop, or another number of images per step or in the training set, whose steps would mean something
        else; or if it is past this run's end.
        """
        check_snapshot(content, where)
        load_weights(self.model, content, where=where)
        trained = read_training(content, where)
        check_same_classes(trained.description, self.model.num_classes, self.description, where=where)
        self._check_continues(content)
        self._load_momentum(content, where)
        if content["scaler"]:  # else the run was not in float16 so far
            self.scaler.load_state_dict(content["scaler"])
        self.step, self.finished_epochs = content["step"], content["finished_epochs"]
        self.best_mean_iou = content["best_mean_iou"]

    def _load_momentum(self, content: dict[str, Any], where: str) -> None:
        """Take over the momentum alone: the optimiser's settings are the options of this run."""
        parameters = dict(enumerate(self.model.parameters()))
        buffers = momentum_buffers(content, where)
        for index, momentum in buffers.items():
            parameter = parameters.get(index)
            if parameter is None or parameter.shape != momentum.shape:
                raise CheckpointError(f"{where} does not fit the network: its momentum {index} is another parameter's")
            # The fused step goes through memory in order, which on a GPU is channels last and on a CPU is not.
            self.optimizer.state[parameter] = {"momentum_buffer": torch.empty_like(parameter).copy_(momentum)}
        lacking = {index for index, parameter in parameters.items() if parameter.requires_grad} - buffers.keys()
        if buffers and lacking:  # a run without momentum has none at all
            raise CheckpointError(
                f"{where} does not fit the network: it lacks the momentum of {len(lacking)} parameters"
            )

    def _check_continues(self, content: dict[str, Any]) -> None:
        for key in ("images_per_step", "steps_per_epoch"):
            if content[key] != (now := getattr(self.batches, key)):
                raise ValueError(
                    f"the interrupted run had {content[key]} {key.replace('_', ' ')}, this one {now}; resume with the "
                    "same data and the same --batch-size x --accumulate x processes"
                )
        if content["input_size"] != list(self.config.input_size):
            height, width = content["input_size"]
            raise ValueError(f"the interrupted run had --input-size {height},{width}; resume it with the same")
        if content["step"] > self.total_steps:
            raise ValueError(
                f"the interrupted run has already done {content['step']} steps, and {self.config.epochs} epochs are "
                f"only {self.total_steps}; set --epochs higher"
            )


def fastest_layout(device: torch.device) -> torch.memory_format:
    """Return how the network and its images are laid out in memory for training.

    Channels last, which GPUs and processors with AVX-512 convolve without rearranging anything. Without AVX-512 the
    gradient of a convolution's weights takes twice as long that way (see "Profiles" in benchmarks/README.md).
    """
    on_narrow_cpu = device.type == "cpu" and torch.backends.cpu.get_cpu_capability() != "AVX512"
    return torch.contiguous_format if on_narrow_cpu else torch.channels_last


def compile_blocks(network: nn.Module) -> None:
    """Have `torch.compile` compile the backbone's bottlenecks when they are first called, for one size of image.

    They are 33 blocks of 8 kinds, each compiled once. The whole network at once takes many times as long to compile
    (see "Compiling" in benchmarks/README.md).
    """
    for module in network.modules():
        if isinstance(module, Bottleneck):
            module.compile(dynamic=False)


def save_snapshot(state: TrainingState, epoch: int | str, *, finished_epochs: int | None = None) -> None:
    """Write the snapshot "Last", with all that continuing needs, or "Best" or an epoch's, which are only to be used.

    `finished_epochs` is what it says of them, if not what the state does. Every process must call this. Raises
    TrainingDivergedError where what would be saved is broken already: the file that is there stays.
    """
    if reduce_flags([not state.is_finite()])[0]:
        raise TrainingDivergedError(
            f"after step {state.step} of {state.total_steps} the weights are not finite, or their momentum or "
            f"BatchNorm's statistics. They were not saved; {advice_after_divergence(state)}"
        )
    last = epoch == "Last"

    def write() -> None:
        state.folder.claim()
        content = state.state_dict() if last else state.network_dict()
        if finished_epochs is not None:
            content["finished_epochs"] = finished_epochs
        write_snapshot(state.folder.snapshot(epoch), content, keep_before=last)

    from_main(write)


def advice_after_divergence(state: TrainingState) -> str:
    """Say from where and how to go on."""
    last = state.folder.written("Last")
    good = f"the last good snapshot is {last}" if last else "there is no earlier snapshot of this run"
    return f"{good}. Try a lower --learning-rate, or --amp off"
