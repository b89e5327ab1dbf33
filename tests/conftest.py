"""Networks that many tests share: building one takes seconds, so each is built once a session.

Shared networks are in eval mode and must stay as they are; a test that trains one takes a copy.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import predict
from networks import CSENet
from tests.golden.recorded import published_weights
from tests.support import building, started
from tests.support.building import Build, empty_network
from tests.support.predicting import Run
from tests.support.tiny_parser import tiny_parser
from utils.checkpoint import load_weights
from utils.inference import HumanParser


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let one process fork for all processes of pytest-xdist: it takes ten seconds of a core to import everything."""
    if getattr(session.config.option, "numprocesses", None):
        os.environ[started.FORKING] = str(started.forking_pid())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Every test draws the same random numbers in every run, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def published_state() -> dict[str, Tensor]:
    """The recorded weights of seed 0 and 20 classes, under published names."""
    return published_weights()


@pytest.fixture(scope="session")
def network(published_state: dict[str, Tensor]) -> CSENet:
    """The network with the recorded weights, built for 97 x 97; in eval mode, not to be changed."""
    return load_weights(empty_network(), {f"module.{name}": tensor for name, tensor in published_state.items()})


@pytest.fixture(scope="session")
def network_for(network: CSENet) -> Build:
    """Build the network for another training size; its tensors are those of `network`, not copies."""

    def build(input_size: tuple[int, int]) -> CSENet:
        with torch.device("meta"):
            model = CSENet(network.num_classes, input_size).eval()
        model.load_state_dict(network.state_dict(), assign=True)
        return model

    return build


@pytest.fixture(scope="module")
def parser() -> HumanParser:
    return tiny_parser()


@pytest.fixture
def run(parser: HumanParser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run the command line in this process, with a tiny network and results in `out`."""
    monkeypatch.setattr(HumanParser, "from_checkpoint", lambda *_, **__: parser)
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: predict.main(["--checkpoint", "tiny", "--output", "out", *map(str, arguments)])


@pytest.fixture(scope="session")
def short_network(published_state: dict[str, Tensor]) -> CSENet:
    """All of the network with these weights, but one block a stage in the backbone; in eval mode, not to be changed."""
    with building.short_backbone():
        later = tuple(f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in range(1, 23))
        state = {name: tensor for name, tensor in published_state.items() if not name.startswith(later)}
        return load_weights(empty_network(input_size=building.SHORT_SIZE, depth=building.SHORT), state)


@pytest.fixture(scope="module")
def short_backbones() -> Iterator[None]:
    """Networks as short as `short_network` can be built and loaded."""
    with building.short_backbone():
        yield
