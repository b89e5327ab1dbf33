"""Which snapshot a run goes on from: damaged ones are told in a sentence and passed over for the one before."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.utils.training.test_state import batch, make_state
from utils.checkpoint.files import CheckpointError
from utils.checkpoint.snapshots import snapshot_before, write_snapshot
from utils.training.config import TrainConfig
from utils.training.folder import RunFolder
from utils.training.resuming import check_snapshot, find_snapshot
from utils.training.step import take_step

NAN = float("nan")


@pytest.fixture(scope="module")
def stepped() -> dict[str, Any]:
    """The content of a snapshot after the first of six steps."""
    state = make_state()
    take_step(state, iter([batch(0)]))
    return state.state_dict()


@pytest.fixture
def content(stepped: dict[str, Any]) -> dict[str, Any]:
    """A copy to damage."""
    return copy.deepcopy(stepped)


def test_what_a_run_writes_is_sound(content: dict[str, Any]) -> None:
    check_snapshot(content, "'Last'")
    check_snapshot(make_state().state_dict(), "'Last'")
    scaler = torch.amp.GradScaler("cpu").state_dict()
    check_snapshot(content | {"scaler": scaler}, "'Last'")


@pytest.mark.parametrize("key", ["optimizer", "scaler", "step", "finished_epochs", "steps_per_epoch", "best_mean_iou"])
def test_a_snapshot_that_lacks_something_is_damaged(key: str, content: dict[str, Any]) -> None:
    del content[key]
    with pytest.raises(CheckpointError, match=r"^'Last' (is a damaged snapshot|holds a network alone)"):
        check_snapshot(content, "'Last'")


@pytest.mark.parametrize(
    "changes",
    [
        {"step": -3},
        {"step": 2.0},
        {"step": True},
        {"step": 10**30},
        {"finished_epochs": 7},
        {"steps_per_epoch": 0},
        {"images_per_step": "4"},
        {"best_mean_iou": NAN},
        {"best_mean_iou": 101},
        {"best_mean_iou": None},
        {"model": {}},
        {"model": {"weight": "text"}},
        {"description": None},
        {"description": {"name": "lip"}},
        {"input_size": None},
        {"input_size": [0, -1]},
        {"optimizer": None},
        {"optimizer": {"state": {"a": {}}}},
        {"optimizer": {"state": {0: None}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.tensor(NAN)}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": 3}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2).to_sparse()}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2, dtype=torch.complex64)}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.full((2,), 1e300, dtype=torch.float64)}}}},
        {"optimizer": {"state": {0: {"momentum_buffer": torch.empty(2, device="meta")}}}},
        {"scaler": {"scale": 2.0}},
        {"scaler": torch.amp.GradScaler("cpu").state_dict() | {"scale": 0.0}},
        {"scaler": torch.amp.GradScaler("cpu").state_dict() | {"growth_interval": NAN}},
        {"scaler": 7},
    ],
    ids=str,
)
def test_nonsense_in_a_snapshot_is_one_sentence(changes: dict[str, Any], content: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=r"^'Last' (?!.*\n)"):
        check_snapshot(content | changes, "'Last'")


@pytest.mark.parametrize("name", ["heads.weight", "context_alignment.1.running_var"])
def test_weights_and_statistics_that_are_not_finite_are_damage(name: str, content: dict[str, Any]) -> None:
    content["model"][name].view(-1)[0] = NAN
    with pytest.raises(CheckpointError, match=f"{name} is no tensor of finite numbers"):
        check_snapshot(content, "'Last'")


@pytest.mark.parametrize("momentum", [torch.ones(3), torch.ones(())])
def test_momentum_of_other_parameters_is_refused(momentum: torch.Tensor, content: dict[str, Any]) -> None:
    for index in (0, 99):
        content["optimizer"]["state"][index] = {"momentum_buffer": momentum}
        with pytest.raises(CheckpointError, match=f"its momentum {index} is another parameter's"):
            make_state().load_state_dict(content, where="'Last'")
        del content["optimizer"]["state"][index]


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_nested_and_quantised_momentum_is_refused(content: dict[str, Any]) -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)
    quantised = torch._empty_affine_quantized([2], scale=1.0, zero_point=0, dtype=torch.qint8)
    for momentum in (nested, quantised):
        content["optimizer"]["state"][0] = {"momentum_buffer": momentum}
        with pytest.raises(CheckpointError, match="the momentum 0 is no tensor of finite numbers"):
            check_snapshot(content, "'Last'")


def test_momentum_of_some_parameters_alone_is_refused(content: dict[str, Any]) -> None:
    """PyTorch's step would fail later; a run without momentum has none at all."""
    del content["optimizer"]["state"][2]
    with pytest.raises(CheckpointError, match="lacks the momentum of 1 parameters"):
        make_state().load_state_dict(content, where="'Last'")
    content["optimizer"]["state"].clear()
    make_state().load_state_dict(content, where="'Last'")


def test_settings_of_the_optimiser_are_those_of_the_options(content: dict[str, Any]) -> None:
    content["optimizer"]["param_groups"] = [{"lr": NAN, "momentum": "much", "weight_decay": -5}]
    state = make_state(momentum=0.8)
    state.load_state_dict(content, where="'Last'")
    assert state.optimizer.param_groups[0]["momentum"] == 0.8
    take_step(state, iter([batch(1)]))


def find(folder: Path, resume: str | None = "auto") -> Path | None:
    return find_snapshot(TrainConfig(data_dir="", resume=resume), RunFolder(folder, "demo"))


def test_a_damaged_last_is_passed_over_for_the_one_before(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = tmp_path / "DEMO_epoch_Last.pth"
    before = snapshot_before(last)
    write_snapshot(last, content)
    write_snapshot(last, content, keep_before=True)
    assert find(tmp_path) == find(tmp_path, str(last)) == last
    assert find(tmp_path, None) is None
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    for harm in (lambda: last.write_bytes(damaged), lambda: write_snapshot(last, {"step": 1}), last.unlink):
        harm()
        assert find(tmp_path) == find(tmp_path, str(last)) == before
        said = capsys.readouterr().out.splitlines()
        assert len(said) == 2
        assert str(last) in said[0]
        assert said[0].endswith(f"The one before it is used: {before}")
    before.write_bytes(b"neither")
    with pytest.raises(CheckpointError, match=r"Last.pth.*Nor can the one before it be used: .*Last.before.pth"):
        find(tmp_path)


def test_a_best_without_a_last_is_mentioned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert find(tmp_path) is None
    assert capsys.readouterr().out == ""
    (tmp_path / "DEMO_epoch_Best.pth").touch()
    assert find(tmp_path) is None
    assert "no DEMO_epoch_Last.pth" in capsys.readouterr().out


def test_a_restart_goes_on_from_the_last_and_not_back_to_the_file(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever --resume said when torchrun first started the process."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "csenet")
    other, last = tmp_path / "other.pth", tmp_path / "run" / "DEMO_epoch_Last.pth"
    write_snapshot(other, content)
    write_snapshot(last, content)
    folder = RunFolder(last.parent, "demo")
    choices = [TrainConfig(data_dir="", resume=resume) for resume in (str(other), None)]

    def crash(expected: list[Path | None], *, saves: bool) -> None:
        with folder:
            for config, snapshot in zip(choices, expected, strict=True):
                assert find_snapshot(config, folder) == snapshot
            folder.start_from(expected[0])
            folder.claim()
            if saves:
                write_snapshot(last, content)
            raise RuntimeError("crash")

    starts: list[tuple[list[Path | None], bool]]
    starts = [([other, None], False), ([other, None], True), ([last, last], False)]
    for expected, saves in starts:
        folder = RunFolder(last.parent, "demo")
        with pytest.raises(RuntimeError, match="crash"):
            crash(expected, saves=saves)
    assert (last.parent / "run_1" / last.name).exists()
