"""The recorded inputs themselves: if these differ, no other comparison means anything."""

import zlib

import torch
from torch import Tensor

from tests.golden.recorded import label_maps, published_shapes, published_weights


def _checksum(state: dict[str, Tensor]) -> int:
    checksum = 0
    for name, tensor in state.items():
        checksum = zlib.crc32(tensor.numpy().tobytes(), zlib.crc32(name.encode(), checksum))
    return checksum


def test_weights_are_those_of_the_recording(published_state: dict[str, Tensor]) -> None:
    assert len(published_state) == 1053
    assert _checksum(published_state) == 1742165908


def test_weights_of_another_seed_and_class_count_are_reproducible() -> None:
    state = published_weights(seed=5, num_classes=7, prefix="module.")
    assert state["module.Attention.seg.1.weight"].shape == (7, 256, 1, 1)
    assert _checksum({name: tensor for name, tensor in state.items() if ".layer" not in name}) == 2117879395


def test_counters_are_whole_numbers_and_everything_else_is_float32(published_state: dict[str, Tensor]) -> None:
    for name, tensor in published_state.items():
        counter = name.endswith("num_batches_tracked")
        assert tensor.dtype == (torch.int64 if counter else torch.float32), name


def test_manifest_counts_the_classes_where_they_occur() -> None:
    twenty, seven = published_shapes(20), published_shapes(7)
    assert sorted(name for name in twenty if twenty[name] != seven[name]) == [
        "Attention.seg.1.bias",
        "Attention.seg.1.weight",
        "CDGNet.conv_clsUp.0.weight",
        "CDGNet.conv_hwPred1.1.bias",
        "CDGNet.conv_hwPred1.1.weight",
        "CDGNet.conv_hwPred2.1.bias",
        "CDGNet.conv_hwPred2.1.weight",
        "CDGNet.gamma",
        "seg1.3.bias",
        "seg1.3.weight",
        "seg3.3.bias",
        "seg3.3.weight",
    ]


def test_label_maps_hold_classes_and_an_ignored_border() -> None:
    labels = label_maps(3, 4, 97, 97)
    assert labels.shape == (4, 97, 97)
    assert (labels[:, :3] == 255).all()
    assert (labels[:, :, -4:] == 255).all()
    assert labels[:, 3:, :-4].max() < 20
