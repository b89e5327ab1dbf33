"""Every layout that is accepted, and what a person reads where a file cannot be used."""

import argparse
import logging
import os
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from networks import CSENet
from tests.building import empty_network
from tests.golden.recorded import published_shapes
from utils.checkpoint import CheckpointError, load_weights, read_checkpoint, to_published

State = dict[str, Tensor]

TIMM_STEM = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "conv2": "conv1.3",
    "bn2": "conv1.4",
    "conv3": "conv1.6",
    "bn3": "bn1",
}


def mark(published_name: str) -> float:
    """Return a number of its own for a tensor, so that it can be recognised after loading."""
    return (zlib.crc32(published_name.encode()) % 100_000) / 1000


def constant(value: float, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor that holds one value throughout and takes a few bytes, in a file too."""
    return torch.full((1,), value).expand(shape) if shape else torch.tensor(int(value))


def published(prefix: str = "", num_classes: int = 20) -> State:
    shapes = published_shapes(num_classes)
    return {prefix + name: constant(mark(name), shape) for name, shape in shapes.items()}


def own(model: CSENet) -> State:
    return {
        name: constant(mark(theirs), tuple(tensor.shape))
        for (name, tensor), theirs in zip(model.state_dict().items(), to_published(model.state_dict()), strict=True)
    }


def imagenet() -> State:
    backbone = {name: tensor for name, tensor in published().items() if name.startswith(("conv", "bn", "layer"))}
    return {**backbone, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


def timm() -> State:
    state = {}
    for name, tensor in imagenet().items():
        module, _, leaf = name.rpartition(".")
        state[f"{TIMM_STEM.get(module, module)}.{leaf}"] = tensor
    state["conv1.0.weight"] = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None].expand(64, 3, 3, 3)
    return state


@pytest.fixture(scope="module")
def model() -> CSENet:
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
    assert record.getMessage() == (
        f"the state dict filled the backbone ({backbone} tensors); the other {1053 - backbone} tensors keep their "
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


def test_missing_file(model: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "nothing.pth"
    assert refused(model, path) == f"'{path}' does not exist"
    with pytest.raises(FileNotFoundError):  # for callers who expect what open() raises
        load_weights(model, path)


def test_folder(model: CSENet, tmp_path: Path) -> None:
    assert refused(model, tmp_path) == f"'{tmp_path}' is a folder; give the checkpoint file in it"


def test_path_that_no_file_can_have(model: CSENet) -> None:
    assert "cannot be read: File name too long" in refused(model, "x" * 5000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_read_permission(model: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "secret.pth"
    path.write_bytes(b"weights")
    path.chmod(0)
    assert refused(model, path) == f"'{path}' cannot be read: Permission denied"


def test_file_that_the_system_refuses_to_open(model: CSENet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.pth"
    path.write_bytes(b"weights")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert refused(model, path) == f"'{path}' cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; download or copy it again"),
        (b"<!DOCTYPE html>\n<html><head>", "is a web page (HTML), not weights: the download stopped at a login"),
        (b"\xef\xbb\xbf \n<html>", "is a web page (HTML), not weights: the download stopped at a login"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 41\n",
            "is a git-lfs pointer, not the weights; fetch them with: git lfs pull",
        ),
        (b"Not Found", "is not a PyTorch checkpoint, or is truncated or damaged"),
        (b'{"error": "quota exceeded"}', "is not a PyTorch checkpoint, or is truncated or damaged"),
        (b"PK\x03\x04" + bytes(300), "is not a PyTorch checkpoint, or is truncated or damaged"),
        (bytes(2000), "is not a PyTorch checkpoint, or is truncated or damaged"),
        (b"\x80\x02" + bytes(range(256)), "is not a PyTorch checkpoint, or is truncated or damaged"),
    ],
)
def test_what_failed_downloads_leave(content: bytes, message: str, model: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    text = refused(model, path)
    assert text.startswith(f"'{path}' ")
    assert message in text
    assert_fit_for_a_person(text)


def assert_fit_for_a_person(text: str) -> None:
    """One line, and none of torch's advice to switch the protection off."""
    assert "\n" not in text
    assert "\x1b" not in text
    assert "weights_only" not in text
    assert len(text) < 600


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_truncated_file(share: float, zipped: bool, model: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": published()}, path, _use_new_zipfile_serialization=zipped)
    size = int(path.stat().st_size * share)
    os.truncate(path, size)
    text = refused(model, path)
    assert f"'{path}' ({size:,} bytes) is not a PyTorch checkpoint, or is truncated or damaged (" in text
    assert text.endswith("compare its size with the source and copy it again")
    assert_fit_for_a_person(text)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_no_damage_ends_in_another_error(data: st.DataObject, tmp_path: Path) -> None:
    """Any cut, garbage or changed byte: a dict comes back, or a CheckpointError is raised."""
    path = tmp_path / "weights.pth"
    zipped = data.draw(st.booleans())
    torch.save({"a.weight": torch.zeros(3), "n": 1}, path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["cut", "change", "garbage"]))
    if kind == "cut":
        content = content[: data.draw(st.integers(1, len(content) - 1))]
    elif kind == "change":
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    else:
        content = bytearray(data.draw(st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"])) + data.draw(st.binary()))
    path.write_bytes(content)
    try:
        assert isinstance(read_checkpoint(path), dict)
    except CheckpointError as error:
        assert_fit_for_a_person(str(error))


class Attack:
    """Makes a folder when it is unpickled: a stand-in for anything worse."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("function", ["mkdir", "eval"])
def test_code_in_a_file_does_not_run(function: str, save: str, model: CSENet, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "it_ran"
    attack = Attack(os.mkdir, str(trace)) if function == "mkdir" else Attack(eval, f"open({str(trace)!r}, 'w')")
    content = {"model": published(), "extra": attack}
    if save == "pickle":
        path.write_bytes(pickle.dumps({"extra": attack}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "zip")
    text = refused(model, path)
    assert not trace.exists()
    assert_fit_for_a_person(text)
    if save != "pickle":  # of a bare pickle torch only says that it is no checkpoint
        name = f"{os.mkdir.__module__}.mkdir" if function == "mkdir" else "eval"
        assert text == (
            f"'{path}' was not opened: it holds Python objects ({name}) beside tensors, and loading those can run any "
            "code. Save the state dict alone: torch.save(model.state_dict(), path)"
        )


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("extra", "name"),
    [
        (argparse.Namespace(lr=0.1), "argparse.Namespace"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (Path("runs"), "pathlib"),
        (np.float64(61.27), "numpy"),
    ],
    ids=["options", "module", "path", "numpy"],
)
def test_python_objects_beside_the_weights(
    extra: object, name: str, zipped: bool, model: CSENet, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": published(), "extra": extra}, path, _use_new_zipfile_serialization=zipped)
    text = refused(model, path)
    assert text.startswith(f"'{path}' was not opened: it holds Python objects ({name}")
    assert "Save the state dict alone: torch.save(model.state_dict(), path)" in text
    assert_fit_for_a_person(text)


@pytest.mark.parametrize(
    ("content", "kind"), [([torch.zeros(3)], "list"), (torch.zeros(3), "Tensor"), (None, "NoneType"), ("abc", "str")]
)
def test_file_that_holds_no_dict(content: object, kind: str, model: CSENet, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert refused(model, path) == f"'{path}' holds a {kind}, not a dict of tensors"


@pytest.mark.filterwarnings("ignore")
def test_torchscript_program(model: CSENet, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        for name in ("version", "data.pkl", "constants.pkl"):  # the last one is what tells a program from weights
            archive.writestr(f"program/{name}", b"3\n")
    text = refused(model, tmp_path / "program.pt")
    assert "is not a PyTorch checkpoint" in text
    assert_fit_for_a_person(text)


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
    assert "1 unexpected (?[2Jsurplus?)" in text


def test_another_networks(model: CSENet) -> None:
    deeplab = torchvision.models.segmentation.deeplabv3_resnet101(weights=None, weights_backbone=None)
    plain = torchvision.models.resnet101()
    with torch.device("meta"):
        vgg = torchvision.models.vgg11()
    for other, expected in ((deeplab, "backbone.conv1.weight, "), (vgg, "features.0.weight, ")):
        state = {name: constant(1.0, tuple(tensor.shape)) for name, tensor in other.state_dict().items()}
        text = refused(model, state)
        assert text.startswith(f"the state dict is another network: its {len(state)} tensors ({expected}")
        assert text.endswith("are neither a CSENet's nor those of a ResNet backbone")
    # The plain ResNet has the names of the backbone, but another stem.
    state = {name: constant(1.0, tuple(tensor.shape)) for name, tensor in plain.state_dict().items()}
    text = refused(model, state)
    assert "does not fit the model" in text
    assert "missing (conv2.weight, bn2.weight, bn2.bias, bn2.running_mean, ...)" in text
    assert "conv1.weight (64, 3, 7, 7) instead of (64, 3, 3, 3)" in text
    assert "fc.weight" not in text


@pytest.mark.parametrize("layout", ["published", "own"])
def test_another_number_of_classes_is_named(layout: str, model: CSENet) -> None:
    state = published("module.", num_classes=7) if layout == "published" else own(empty_network(num_classes=7))
    assert refused(model, state) == "the state dict has 7 classes, the model 20"


def test_another_depth(model: CSENet) -> None:
    text = refused(model, own(empty_network(depth=50)))
    assert "which expects 1053 tensors: " in text
    assert "missing (backbone.layer3.6.conv1.weight, " in text
    small = empty_network(depth=50)
    assert "unexpected (layer3.6.conv1.weight, " in refused(small, published())


def test_all_differences_are_told_at_once(model: CSENet) -> None:
    state = published("module.")
    del state["module.bn2.weight"], state["module.SPFlt1.gamma"]
    state["module.surplus"] = torch.zeros(1)
    state["module.bn1.weight"] = torch.zeros(())
    text = refused(model, state)
    assert "expects 1053 tensors" in text
    assert "2 missing (bn2.weight, SPFlt1.gamma)" in text
    assert "1 unexpected (surplus)" in text
    assert "1 of another shape (bn1.weight () instead of (64,))" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layout", [published, imagenet])
def test_values_that_are_not_finite(layout: Callable[[], State], value: float, model: CSENet) -> None:
    state = layout()
    state["bn3.running_var"] = torch.ones(128)
    state["bn3.running_var"][7] = value
    text = refused(model, state)
    assert "holds NaN or infinite values in 1 tensors (bn3.running_var)" in text
    assert "use an earlier snapshot" in text


def test_classifier_without_any_dimension(model: CSENet) -> None:
    state = published()
    state["seg3.3.weight"] = torch.zeros(())
    assert "1 of another shape (seg3.3.weight () instead of (20, 256, 1, 1))" in refused(model, state)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn], ids=str)
def test_weights_of_a_type_that_holds_no_weights(dtype: torch.dtype, model: CSENet) -> None:
    state = published()
    state["bn1.weight"] = torch.ones(64).to(dtype)
    assert f"1 of another type (bn1.weight {dtype} instead of torch.float32)" in refused(model, state)


def test_step_counter_that_is_no_whole_number(model: CSENet) -> None:
    state = published()
    state["bn1.num_batches_tracked"] = torch.tensor(3.5)
    text = refused(model, state)
    assert "1 of another type (bn1.num_batches_tracked torch.float32 instead of torch.int64)" in text


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
