"""Starting a training from weights of other classes or another crop: what is taken over, and what is said about it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dataset.descriptions import BUILT_IN, DatasetDescription
from networks import CSENet
from networks.resnet import BLOCKS
from tests.support.building import empty_network
from tests.support.weights import OTHER_NETWORKS, State, constant, imagenet, mark, own, published
from utils.checkpoint import CheckpointError, to_published
from utils.checkpoint.published_names import published_name
from utils.checkpoint.snapshots import snapshot_content, write_snapshot
from utils.checkpoint.transfer import start_from

LIP = BUILT_IN["lip"]
GARMENTS = DatasetDescription(
    name="garments", class_names=("Background", "Skirt", "Hair", "Cape", "Left-shoe", "Coat", "Umbrella")
)
# Where each of these is in LIP's order; Cape and Umbrella are not.
IN_LIP = {0: 0, 1: 12, 2: 2, 4: 18, 5: 7}
CLASS_DIMENSION = {
    **{
        f"{module}.{leaf}": 0
        for leaf in ("weight", "bias")
        for module in (
            "coarse_head.classifier.conv",
            "body_head.conv",
            "final_head.classifier.conv",
            "class_distribution.rows.distribution.1",
            "class_distribution.columns.distribution.1",
        )
    },
    "class_distribution.class_gate": 0,
    "class_distribution.balance.reduce.weight": 1,
}
"""The tensors that hold something for each class, and the dimension that counts the classes."""

KINDS = (
    "{whole} tensors are taken over whole; in the 12 that hold something for each class (heads, distribution branches, "
    "class gate) "
)


LATER_BLOCKS = tuple(f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in range(1, 23))


@pytest.fixture(scope="module", autouse=True)
def _one_block_a_stage() -> Iterator[None]:
    """Networks of depth 14, built in a tenth of the time; nothing here depends on the number of blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, 14, (1, 1, 1, 1))
        yield


def short(state: State) -> State:
    """Leave out what a network of depth 14 does not have."""
    return {name: tensor for name, tensor in state.items() if not name.startswith(LATER_BLOCKS)}


def numbered(state: State) -> State:
    """Put 1 + its index into everything a class has, so that each class can be recognised after loading."""
    for name, dimension in CLASS_DIMENSION.items():
        in_state = name if name in state else published_name(name)
        shape = state[in_state].shape
        numbers = torch.arange(1.0, shape[dimension] + 1)
        state[in_state] = numbers.view([-1 if i == dimension else 1 for i in range(len(shape))]).expand(shape)
    return state


def save(path: Path, description: DatasetDescription | None, num_classes: int = 20, size: Sequence[int] = ()) -> Path:
    """Write weights: a snapshot where there is a description, otherwise the published layout."""
    if description is None:
        torch.save(numbered(short(published("", num_classes))), path)
        return path
    with torch.device("meta"):
        model = CSENet(description.num_classes, depth=14)
    content = snapshot_content(model, description) | {"model": numbered(own(model))}
    write_snapshot(path, content | ({"input_size": list(size)} if size else {}))
    return path


@pytest.fixture(scope="module")
def model(_one_block_a_stage: None) -> CSENet:
    return empty_network(GARMENTS.num_classes, (97, 73), depth=14)


@pytest.fixture(autouse=True)
def _zeros(model: CSENet) -> None:
    with torch.no_grad():
        torch._foreach_zero_(list(model.state_dict().values()))


def assert_classes(model: CSENet, kept: dict[int, int]) -> None:
    """Check that all but the classes is filled, and of these those that are kept: here -> in the checkpoint."""
    state = model.state_dict()
    for (name, tensor), theirs in zip(state.items(), to_published(state), strict=True):
        if name not in CLASS_DIMENSION:
            expected = constant(mark(theirs), tuple(tensor.shape)).to(tensor.dtype)
            assert torch.equal(tensor, expected.expand_as(tensor)), name
            continue
        for index, part in enumerate(tensor.unbind(CLASS_DIMENSION[name])):
            assert part.unique().tolist() == [1 + kept[index] if index in kept else 0], (name, index)


def described(names: Sequence[str]) -> DatasetDescription:
    return DatasetDescription(name="source", class_names=tuple(names))


NAMES = GARMENTS.class_names
CASES: dict[str, tuple[DatasetDescription | None, int, dict[int, int]]] = {
    "a snapshot of other classes": (LIP, 20, IN_LIP),
    "the released weights": (None, 20, IN_LIP),
    "the same classes": (GARMENTS, 7, {i: i for i in range(7)}),
    "the same classes in another order": (described(NAMES[::-1]), 7, {i: 6 - i for i in range(7)}),
    "as many classes of other names": (BUILT_IN["pascal_person_part"], 7, {0: 0}),
    "as many classes without names": (None, 7, {i: i for i in range(7)}),
    "fewer classes": (described(("Coat", "Hair")), 2, {5: 0, 2: 1}),
    "other classes altogether": (described(("wall", "sky", "coat")), 3, {}),
    "other classes without names": (None, 18, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_classes_of_the_same_name_keep_what_they_learned(case: str, model: CSENet, tmp_path: Path) -> None:
    description, num_classes, kept = CASES[case]
    line = start_from(model, GARMENTS, save(tmp_path / "weights.pth", description, num_classes))
    assert_classes(model, kept)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            "a snapshot of other classes",
            "(lip, 20 classes, crops of 97 x 73): " + KINDS + "the classes of the same name keep theirs (5: "
            "Background, Skirt, Hair, Left-shoe, Coat) and the others start anew (2: Cape, Umbrella)",
        ),
        ("the same classes", "(garments, 7 classes, crops of 97 x 73): all {tensors} tensors are taken over"),
        (
            "the same classes in another order",
            "(source, 7 classes, crops of 97 x 73): " + KINDS + "all 7 classes keep theirs, found by their names",
        ),
        (
            "other classes altogether",
            "(source, 3 classes, crops of 97 x 73): " + KINDS + "all 7 classes start anew, since the checkpoint has "
            "none of these names",
        ),
    ],
)
def test_one_line_says_what_was_taken_over(case: str, text: str, model: CSENet, tmp_path: Path) -> None:
    description, num_classes, _ = CASES[case]
    path = save(tmp_path / "weights.pth", description, num_classes, (97, 73))
    tensors = len(model.state_dict())
    expected = text.format(tensors=tensors, whole=tensors - len(CLASS_DIMENSION))
    assert start_from(model, GARMENTS, path) == f"Starting from '{path}' {expected}"


@pytest.mark.parametrize(
    ("num_classes", "origin"),
    [(20, "taken for lip, 20"), (7, "taken for garments, 7"), (18, "classes without names, 18")],
)
def test_what_classes_without_names_are_taken_for_is_said(
    num_classes: int, origin: str, model: CSENet, tmp_path: Path
) -> None:
    line = start_from(model, GARMENTS, save(tmp_path / "weights.pth", None, num_classes))
    assert f"({origin} classes, crops of 473 x 473): " in line


def test_another_crop_changes_bins_and_no_tensor(model: CSENet, tmp_path: Path) -> None:
    line = start_from(model, GARMENTS, save(tmp_path / "weights.pth", GARMENTS, size=(145, 65)))
    assert_classes(model, {i: i for i in range(7)})
    assert line.endswith(
        f"(garments, 7 classes, crops of 145 x 65): all {len(model.state_dict())} tensors are taken over; crops are "
        "now 97 x 73, on which only the numbers of row and column bins depend, 24 x 18 instead of 36 x 16"
    )


def test_a_backbone_fills_the_backbone(model: CSENet, tmp_path: Path) -> None:
    torch.save(short(imagenet()), tmp_path / "backbone.pth")
    line = start_from(model, GARMENTS, tmp_path / "backbone.pth")
    assert line.startswith(f"'{tmp_path / 'backbone.pth'}' filled the backbone (")
    filled = {name.partition(".")[0] for name, tensor in model.state_dict().items() if tensor.count_nonzero()}
    assert filled == {"backbone"}


def test_half_precision_is_taken_over(model: CSENet, tmp_path: Path) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in short(published()).items()
    }
    torch.save(state, tmp_path / "half.pth")
    start_from(model, GARMENTS, tmp_path / "half.pth")
    gate = model.state_dict()["class_distribution.class_gate"]
    assert gate.dtype == torch.float32
    assert gate.count_nonzero() == len(IN_LIP)


def without(name: str) -> State:
    state = short(published())
    del state[name]
    return state


def with_value(name: str, value: Tensor) -> State:
    return short(published()) | {name: value}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: OTHER_NETWORKS["schp"]()[0], "is another network: its "),
        (lambda: without("SPFlt1.gamma"), "1 missing (SPFlt1.gamma)"),
        (lambda: without("seg3.3.weight"), "1 missing (seg3.3.weight)"),
        (lambda: with_value("seg1.3.bias", torch.ones(7)), "1 of another shape (seg1.3.bias (7,) instead of (20,))"),
        (lambda: with_value("seg1.3.bias", torch.full((20,), torch.nan)), "NaN or infinite values in 1 tensors"),
        (
            lambda: {"model": short(published()), "description": BUILT_IN["atr"].to_dict()},
            "contradicts itself: its network has 20 classes, its description names 18",
        ),
        (lambda: {"model": short(published()), "input_size": [0, 0]}, "is a damaged snapshot: input size 0 x 0"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_filled(
    content: Callable[[], Any], message: str, model: CSENet, tmp_path: Path
) -> None:
    torch.save(content(), tmp_path / "weights.pth")
    before = [tensor._version for tensor in model.state_dict().values()]
    with pytest.raises(CheckpointError) as caught:
        start_from(model, GARMENTS, tmp_path / "weights.pth")
    assert message in str(caught.value)
    assert [tensor._version for tensor in model.state_dict().values()] == before


def test_another_depth_is_refused(model: CSENet, tmp_path: Path) -> None:
    torch.save(published(), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="has a backbone of depth 101, the model one of depth 14"):
        start_from(model, GARMENTS, tmp_path / "weights.pth")
