"""The network through torch.compile and DistributedDataParallel. Exports: tests/utils/export."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from networks import CSENet, CSENetOutput
from tests.support.building import trainable_copy, without_middle_stages


def difference(a: CSENetOutput, b: CSENetOutput) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def scalar(out: CSENetOutput) -> Tensor:
    """Return something that depends on every output."""
    return torch.stack([output.square().mean() for output in out]).sum()


@pytest.fixture
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.usefixtures("_fresh_compiler")
def test_compiles_without_a_graph_break(short_network: CSENet) -> None:
    """The backend runs the captured graph as it is; fullgraph makes every graph break an error."""
    images = torch.randn(1, 3, 65, 98)
    model = without_middle_stages(short_network)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert difference(compiled(images), model(images)) <= 1e-5


@pytest.mark.usefixtures("_fresh_compiler")
@pytest.mark.slow
def test_training_under_autocast_compiles_without_a_graph_break(short_network: CSENet) -> None:
    model = without_middle_stages(trainable_copy(short_network))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = compiled(torch.randn(1, 3, 65, 65))
    scalar(out).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.fixture
def _one_process(tmp_path: Path) -> Iterator[None]:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    torch.set_warn_always(True)  # else a warning comes once in a process
    yield
    torch.set_warn_always(False)
    distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_distributed_training_finds_every_parameter_used(short_network: CSENet, layout: torch.memory_format) -> None:
    """DistributedDataParallel raises in the second step if the first left a parameter without a gradient.

    It warns of gradients with other strides than their weights.
    """
    model = DistributedDataParallel(
        trainable_copy(short_network).to(memory_format=layout), find_unused_parameters=False
    )
    for _ in range(2):
        scalar(model(torch.randn(2, 3, 65, 65))).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
