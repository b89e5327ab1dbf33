"""The state of a training, as snapshots hold it."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dataset.descriptions import BUILT_IN
from dataset.sampling import TrainingBatches
from networks import ResNet, resnet
from tests.support.tiny_network import TinyNetwork
from utils.checkpoint import read_checkpoint
from utils.checkpoint.snapshots import write_snapshot
from utils.distributed import Processes
from utils.inference.folding import folded
from utils.training.config import TrainConfig
from utils.training.folder import RunFolder
from utils.training.state import TrainingState, compile_blocks, save_snapshot
from utils.training.step import take_step
from utils.training.stopping import TrainingDivergedError

LIP = BUILT_IN["lip"]
ONE_PROCESS = Processes(0, 1, 1, torch.device("cpu"))


def make_state(**options: Any) -> TrainingState:
    """A state before its first step of six, with four images each."""
    config = TrainConfig(data_dir="lip", input_size=(65, 65), batch_size=4, epochs=1, num_workers=0, **options)
    model: Any = TinyNetwork(LIP.num_classes, config.input_size)
    resolved, folder = config.resolve(ONE_PROCESS), RunFolder("snapshots", "lip")
    return TrainingState(model, LIP, resolved, ONE_PROCESS, TrainingBatches(24, 4), folder)


def batch(number: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(number)
    image = torch.randint(256, (4, 3, 65, 65), generator=random, dtype=torch.uint8)
    return {"image": image, "label": torch.randint(20, (4, 65, 65), generator=random, dtype=torch.uint8)}


def test_a_state_that_was_saved_and_loaded_takes_the_same_next_step(tmp_path: Path) -> None:
    state, other = make_state(), make_state()
    take_step(state, iter([batch(0)]))
    write_snapshot(tmp_path / "last.pth", state.state_dict())
    other.load_state_dict(read_checkpoint(tmp_path / "last.pth"), where="the snapshot")
    assert other.step == state.step == 1
    losses = [take_step(each, iter([batch(1)])) for each in (state, other)]
    assert losses[0] == losses[1]
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name]), name


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_on_a_cpu_is_lean_unless_the_network_is_compiled(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled blocks decide themselves what they keep for the backward pass."""
    lean: list[nn.Module] = []

    def note(network: nn.Module) -> AbstractContextManager[None]:
        lean.append(network)
        return nullcontext()

    to_compile: list[nn.Module] = []
    monkeypatch.setattr("utils.training.step.lean_forward", note)
    monkeypatch.setattr("utils.training.state.compile_blocks", to_compile.append)
    state = make_state(compile=compiled)
    take_step(state, iter([batch(0)]))
    assert lean == ([] if compiled else [state.network])
    assert to_compile == ([state.model] if compiled else [])


def test_blocks_are_compiled_once_for_each_kind_and_for_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend runs the captured graphs as they are; fullgraph makes a ninth kind, or a graph break, an error."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compile_module = nn.Module.compile
    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda module, **options: compile_module(module, backend=backend, fullgraph=True, **options),
    )
    monkeypatch.setattr(resnet, "BLOCKS", {50: (3, 2, 2, 2)})
    network = ResNet(50)
    plain, images = copy.deepcopy(network), torch.randn(2, 3, 65, 65)
    compile_blocks(network)
    for module in (network, plain):
        sum(maps.square().mean() for maps in module(images)).backward()
    assert len(graphs) == 8
    gradients, expected = ([parameter.grad for parameter in module.parameters()] for module in (network, plain))
    assert all(gradient is not None for gradient in expected)
    torch.testing.assert_close(gradients, expected)
    folded(network.eval())(images)
    assert len(graphs) == 8
    torch._dynamo.reset()


def test_snapshots_keep_their_layout() -> None:
    """Runs are resumed from files that earlier versions wrote."""
    state = make_state()
    network = {"model", "description", "input_size", "depth", "step", "finished_epochs", "steps_per_epoch"}
    network |= {"images_per_step", "best_mean_iou", "options"}
    assert set(state.network_dict()) == network
    assert set(state.state_dict()) == network | {"optimizer", "scaler"}
    options = state.state_dict()["options"]
    assert (options["batch_size"], options["amp"], options["learning_rate"]) == (4, "off", 2.5e-3)


def test_a_step_adds_up_the_batches_of_an_accumulation() -> None:
    """Its loss is their mean, and the rate falls from step to step by the power law."""
    state = make_state(accumulate=2, mixup=False)
    state.model.eval()  # without dropout, and without each batch's own statistics
    singles = [take_step(make_like(state), iter([batch(number)]))["loss"] for number in (0, 1)]
    assert take_step(state, iter([batch(0), batch(1)]))["loss"] == pytest.approx(sum(map(float, singles)) / 2)
    assert state.optimizer.param_groups[0]["lr"] == 2.5e-3
    take_step(state, iter([batch(2), batch(3)]))
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(2.5e-3 * (1 - 1 / 6) ** 0.9)


def make_like(state: TrainingState) -> TrainingState:
    """A state without accumulation that has the same weights."""
    other = make_state(mixup=False)
    other.model.load_state_dict(state.model.state_dict())
    other.model.eval()
    return other


@pytest.mark.parametrize("broken", ["running_var", "weight", "momentum"])
@pytest.mark.parametrize("epoch", ["Last", "Best", 5])
def test_what_is_not_finite_never_replaces_a_good_snapshot(broken: str, epoch: int | str, tmp_path: Path) -> None:
    """A step in float16 that was skipped leaves the weights well, and BatchNorm's statistics not."""
    state = make_state()
    take_step(state, iter([batch(0)]))
    state.folder = RunFolder(tmp_path, "lip")
    save_snapshot(state, epoch)
    good = state.folder.snapshot(epoch).read_bytes()
    if broken == "momentum":
        tensor = next(iter(state.optimizer.state.values()))["momentum_buffer"]
    else:
        tensor = next(value for name, value in state.model.state_dict().items() if name.endswith(broken))
    tensor[(0,) * tensor.dim()] = float("inf")  # in whatever layout
    with pytest.raises(TrainingDivergedError, match="not finite"):
        save_snapshot(state, epoch)
    assert state.folder.snapshot(epoch).read_bytes() == good


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_the_snapshots_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state()
    state.folder = RunFolder(tmp_path, "lip")
    save_snapshot(state, "Last")
    save_snapshot(state, "Last")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 2
    real_open = Path.open

    def open_full(path: Path, mode: str) -> Any:
        real_open(path, mode).close()
        return real_open(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError, match=r"No space left on device: .*LIP_epoch_Last\.pth"):
        save_snapshot(state, "Last")
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
