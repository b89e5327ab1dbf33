"""Every layout that is accepted, and what a person reads where weights do not fit. Files: `test_checkpoint_files`."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset.descriptions import BUILT_IN
from networks import CSENet
from networks.resnet import BLOCKS
from tests.golden.recorded import published_shapes
from tests.support import weights
from tests.support.building import empty_network
from tests.support.weights import OTHER_NETWORKS, State, constant, imagenet, mark, own, published, timm
from utils.checkpoint import CheckpointError, load_weights, to_published

LATER_BLOCKS = tuple(f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in range(1, 23))


@pytest.fixture(scope="module", autouse=True)
def _one_block_a_stage() -> Iterator[None]:
    """Let what is called depth 101 have one block a stage, networks and weights: nothing here depends on how many."""

    def shapes(num_classes: int = 20) -> dict[str, tuple[int, ...]]:
        every = published_shapes(num_classes)
        return {name: shape for name, shape in every.items() if not name.startswith(LATER_BLOCKS)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, 101, (1, 1, 1, 1))
        patch.setattr(weights, "published_shapes", shapes)
        yield


@pytest.fixture(scope="module")
def model(_one_block_a_stage: None) -> CSENet:
    return empty_network()


@pytest.fixture(autouse=True)
def _zeros(model: CSENet) -> None:
    with torch.no_grad():
        torch._foreach_zero_(list(model.state_dict().values()))


def assert_filled(model: CSENet, names: Callable[[str], bool] = lambda name: True) -> None:
    """Check that each tensor whose name passes holds its own mark, and the others still zeros."""
    tensors = model.state_dict()
    for (name, tensor), theirs in zip(tensors.items(), to_published(tensors), strict=True):
        if names(name):
            expected = constant(mark(theirs), tuple(tensor.shape)).to(tensor.dtype)
            assert torch.equal(tensor, expected.expand_as(tensor)), name
        else:
            assert tensor.count_nonzero() == 0, name


LAYOUTS: dict[str, Callable[[CSENet], dict[str, Any]]] = {
    "published by DDP": lambda model: published("module."),
    "published": lambda model: published(),
    "snapshot": lambda model: {"model": OrderedDict(own(model)), "epoch": 3, "options": {"lr": 0.1, "names": ["a"]}},
    "snapshot under state_dict": lambda model: {"state_dict": published("module."), "epoch": 3},
    "own": own,
    "own, compiled and DDP": lambda model: {f"module._orig_mod.{name}": t for name, t in own(model).items()},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", ["dict", "zip", "legacy"])
def test_whole_network_is_filled_from_a_path_and_a_dict(
    layout: str, way: str, model: CSENet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content: Any = LAYOUTS[layout](model)
    if way != "dict":
        torch.save(content, tmp_path / "weights.pth", _use_new_zipfile_serialization=way == "zip")
        content = str(tmp_path / "weights.pth") if way == "zip" else tmp_path / "weights.pth"
    assert load_weights(model, content) is model
    assert_filled(model)
    assert not caplog.records


def test_old_files_without_step_counters_are_complete(model: CSENet) -> None:
    load_weights(model, {n: t for n, t in published("module.").items() if not n.endswith("num_batches_tracked")})
    assert_filled(model, lambda name: not name.endswith("num_batches_tracked"))


@pytest.mark.parametrize("with_classifier", [True, False])
def test_imagenet_weights_fill_the_backbone_and_report_the_rest(
    with_classifier: bool, model: CSENet, caplog: pytest.LogCaptureFixture
) -> None:
    state = {name: t for name, t in imagenet().items() if with_classifier or not name.startswith("fc.")}
    with caplog.at_level(logging.WARNING):
        load_weights(model, state)
    assert_filled(model, lambda name: name.startswith("backbone."))
    (record,) = caplog.records
    backbone = sum(name.startswith("backbone.") for name in model.state_dict())
    others = len(model.state_dict()) - backbone
    assert record.getMessage() == (
        f"the state dict filled the backbone ({backbone} tensors); the other {others} tensors keep their "
        "initial values: body_head, class_distribution, coarse_head, context_alignment, edge, final_head, "
        "pixel_affinity, stage1, stage2, stage3, stage4"
    )


def test_timm_weights_are_turned_to_bgr(model: CSENet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(timm(), tmp_path / "resnet101s.pth")
    load_weights(model, tmp_path / "resnet101s.pth")
    first = "backbone.conv1.weight"
    assert model.get_parameter(first)[5, :, 1, 2].tolist() == [3.0, 2.0, 1.0]
    nn.init.zeros_(model.get_parameter(first))
    assert_filled(model, lambda name: name.startswith("backbone.") and name != first)
    assert "filled the backbone" in caplog.text


def test_half_precision_weights_are_accepted(model: CSENet) -> None:
    load_weights(model, {n: t.bfloat16() if t.is_floating_point() else t for n, t in published().items()})
    assert model.get_parameter("backbone.bn1.weight")[0] == torch.tensor(mark("bn1.weight")).bfloat16()


def test_another_number_of_classes_and_depth_load_where_the_model_has_them() -> None:
    seven = empty_network(num_classes=7)
    load_weights(seven, published(num_classes=7))
    assert_filled(seven)


def refused(model: CSENet, source: Any) -> str:
    """Return the message with which a source is refused; the model must be as before, down to the last tensor."""
    before = [(tensor.data_ptr(), tensor._version) for tensor in model.state_dict().values()]
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, source)
    assert [(tensor.data_ptr(), tensor._version) for tensor in model.state_dict().values()] == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "the state dict holds no tensors"),
        ({"model": {}}, "the state dict holds no tensors"),
        ({"a": 3}, "the state dict is not a state dict: its entry 'a' is of type int, not a tensor"),
        ({"a": np.zeros(3)}, "the state dict is not a state dict: its entry 'a' is of type ndarray, not a tensor"),
        ({"model": nn.Identity()}, "its entry 'model' is of type Identity, not a tensor"),
        ({"model": {"a": None}}, "its entry 'a' is of type NoneType, not a tensor"),
        ({0: torch.zeros(1)}, "its entry 0 has no name, but a key of type int"),
    ],
)
def test_dict_of_something_else(content: dict[Any, Any], message: str, model: CSENet) -> None:
    assert message in refused(model, content)


def test_names_from_a_file_cannot_command_the_terminal(model: CSENet) -> None:
    text = refused(model, {**published(), "\x1b[2Jsurplus\n": torch.zeros(1)})
    assert r"1 unexpected (\x1b[2Jsurplus\n)" in text


@pytest.mark.parametrize("name", OTHER_NETWORKS)
def test_another_network_is_called_so(name: str, model: CSENet) -> None:
    state, foreign = OTHER_NETWORKS[name]()
    text = refused(model, state)
    assert text.startswith(f"the state dict is another network: its {len(state)} tensors ({foreign}")
    assert text.endswith(
        ") are neither a CSENet's nor those of the ResNet in it (depth 50 or 101, a stem of three 3 x 3 convolutions)"
    )


@pytest.mark.parametrize("layout", [imagenet, timm])
def test_a_backbone_that_lacks_a_tensor_is_still_one(layout: Callable[[], State], model: CSENet) -> None:
    state = layout()
    del state["layer4.0.bn3.bias"]
    assert "1 missing (layer4.0.bn3.bias)" in refused(model, state)


@pytest.mark.parametrize("layout", ["published", "own"])
def test_another_number_of_classes_is_named(layout: str, model: CSENet) -> None:
    state = published("module.", num_classes=7) if layout == "published" else own(empty_network(num_classes=7))
    assert refused(model, state) == "the state dict has 7 classes, the model 20"


@pytest.mark.parametrize("layout", [published, imagenet, timm])
def test_another_depth_is_named(layout: Callable[[], State]) -> None:
    assert refused(empty_network(depth=50), layout()) == (
        "the state dict has a backbone of depth 101, the model one of depth 50; build the model with depth=101 "
        "(train.py: --depth 101)"
    )


def test_a_description_of_other_classes_than_the_network_has_is_refused(model: CSENet) -> None:
    content = {"model": own(model), "description": BUILT_IN["atr"].to_dict()}
    assert refused(model, content) == (
        "the state dict contradicts itself: its network has 20 classes, its description names 18. It was changed or "
        "put together after the training; use the snapshot that train.py wrote"
    )


def test_all_differences_are_told_at_once(model: CSENet) -> None:
    state = published("module.")
    del state["module.bn2.weight"], state["module.SPFlt1.gamma"]
    state |= {f"module.surplus{number}": torch.zeros(1) for number in range(6)}
    state["module.bn1.weight"] = torch.zeros(())
    state["module.seg3.3.weight"] = torch.zeros(())  # which tells the number of classes
    text = refused(model, state)
    assert f"expects {len(model.state_dict())} tensors" in text
    assert "2 missing (bn2.weight, SPFlt1.gamma)" in text
    assert "6 unexpected (surplus0, surplus1, surplus2, surplus3 and 2 more)" in text
    assert "2 of another shape (bn1.weight () instead of (64,), seg3.3.weight () instead of (20, 256, 1, 1))" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layout", [published, imagenet])
def test_values_that_are_not_finite(layout: Callable[[], State], value: float, model: CSENet) -> None:
    state = layout()
    state["bn3.running_var"] = torch.ones(128)
    state["bn3.running_var"][7] = value
    text = refused(model, state)
    assert "holds NaN or infinite values in 1 tensors (bn3.running_var)" in text
    assert "use an earlier snapshot" in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(
            ("bn1.weight", torch.ones(64).to(dtype), torch.float32)
            for dtype in (torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn)
        ),
        ("bn1.num_batches_tracked", torch.tensor(3.5), torch.int64),
    ],
    ids=str,
)
def test_values_of_a_type_that_cannot_be_meant(name: str, value: Tensor, expected: torch.dtype, model: CSENet) -> None:
    text = refused(model, published() | {name: value})
    assert f"1 of another type ({name} {value.dtype} instead of {expected})" in text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(20).to_sparse(),
        lambda: torch.quantize_per_tensor(torch.zeros(20), 0.1, 0, torch.qint8),
        lambda: torch.zeros(20, device="meta"),
        lambda: torch.nested.nested_tensor([torch.zeros(3), torch.zeros(2)]),
    ],
    ids=["sparse", "quantised", "meta", "nested"],
)
def test_tensors_without_plain_values(make: Callable[[], Tensor], model: CSENet) -> None:
    state = published()
    state["CDGNet.gamma"] = make()
    assert "its entry 'CDGNet.gamma' is a tensor without plain values (" in refused(model, state)


def test_the_same_tensor_with_and_without_a_prefix(model: CSENet) -> None:
    state = published("module.")
    state["bn1.weight"] = torch.ones(64)
    assert refused(model, state) == "the state dict holds 'bn1.weight' twice, with and without a prefix"
