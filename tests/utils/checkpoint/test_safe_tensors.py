"""Safetensors files: read like any other weights, judged by their header, and one sentence where they are damaged."""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor

from dataset.descriptions import BUILT_IN
from networks import CSENet
from tests.support.building import SHORT, empty_network
from utils.checkpoint import CheckpointError, load_weights, read_checkpoint, to_published
from utils.checkpoint.metadata import NetworkMetadata, metadata_entries
from utils.checkpoint.safe_tensors import LARGEST_HEADER, safetensors_bytes
from utils.checkpoint.snapshots import load_model

SMALL = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.zeros(0, dtype=torch.float16)}
ENTRIES = metadata_entries(NetworkMetadata(BUILT_IN["atr"], (97, 73), "logits"))


def with_header(header: Any, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(begin: int = 0, end: int = 8, shape: tuple[int, ...] = (2,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.SAFETENSORS", "weights", "weights.pth"])
def test_files_are_known_by_what_they_begin_with_or_by_their_name(tmp_path: Path, name: str) -> None:
    save_file(SMALL, tmp_path / name)
    content = read_checkpoint(tmp_path / name)
    assert content.keys() == {"model"}
    assert all(torch.equal(content["model"][key], value) for key, value in SMALL.items())


def test_a_checkpoint_of_pytorch_is_read_under_any_name(tmp_path: Path) -> None:
    torch.save(SMALL, tmp_path / "new.safetensors")
    torch.save(SMALL, tmp_path / "old.safetensors", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        assert torch.equal(read_checkpoint(path)["a"], SMALL["a"])


def test_a_header_whose_length_looks_like_a_web_page_is_none(tmp_path: Path) -> None:
    """0x013c begins with `<`; so does 0x3c20, after a blank."""
    for length in (0x013C, 0x3C20):
        text = json.dumps({"a": tensor()}).encode().ljust(length)
        (tmp_path / "a.safetensors").write_bytes(length.to_bytes(8, "little") + text + bytes(8))
        assert read_checkpoint(tmp_path / "a.safetensors")["model"]["a"].shape == (2,)


@pytest.mark.usefixtures("short_backbones")
@pytest.mark.parametrize("rename", [dict, to_published], ids=["own names", "published names"])
def test_weights_are_the_same_to_the_last_bit(
    short_network: CSENet, tmp_path: Path, rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    path, expected = tmp_path / "w.safetensors", short_network.state_dict()
    save_file({name: value.contiguous() for name, value in rename(expected).items()}, path)
    loaded = load_weights(empty_network(depth=SHORT), path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert load_model(path).description is None


def test_metadata_of_an_export_are_read_and_those_of_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(SMALL, path, ENTRIES)
    content = read_checkpoint(path)
    assert (content["description"]["name"], content["input_size"]) == ("atr", [97, 73])
    save_file(SMALL, path, {"format": "pt", "description": "Weights of mine", "input_size": "big"})
    assert read_checkpoint(path).keys() == {"model"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs pointer"),
        (b"<!DOCTYPE html>", "web page"),
        (b"1234", "would have"),
        (b"not a header of a file at all", "would have"),
        (with_header({"a": tensor()})[:-1], "not a safetensors file, or is truncated or damaged"),
        (with_header({"a": tensor()}) + b"more", "not a safetensors file, or is truncated or damaged"),
        (with_header({"a": tensor()})[:20], "its header would have"),
        ((2**63).to_bytes(8, "little") + b"{}", "its header would have 9,223,372,036,854,775,808 bytes"),
        ((LARGEST_HEADER + 1).to_bytes(8, "little") + b"{}".ljust(LARGEST_HEADER + 9), "2 to 16,777,216 are possible"),
        (with_header({"a": tensor(shape=(3,))}), "damaged"),
        (with_header({"a": tensor(shape=(-2,))}), "damaged"),
        (with_header({"a": tensor(shape=(2**62, 2**62))}), "damaged"),
        (with_header({"a": tensor(), "b": tensor()}), "damaged"),
        (with_header({"a": tensor(0, 4, (1,)), "b": tensor(5, 8, (3,), "U8")}), "damaged"),
        (with_header({"a": tensor(end=16, shape=(4,))}), "damaged"),
        (with_header({"a": tensor(dtype="F33")}), "damaged"),
        (with_header({"a": 3}), "damaged"),
        (with_header(b'{"a": %s, "a": %s}' % ((json.dumps(tensor()).encode(),) * 2)), "'a' more than once"),
        (with_header(b'{"__metadata__": {"x": "1", "x": "2"}}', b""), "'x' more than once"),
        (with_header({"__metadata__": {"x": 1}}, b""), "metadata are not texts"),
        (with_header({"__metadata__": []}, b""), "metadata are not texts"),
        (with_header(b"[" * 10_000 + b"]" * 10_000, b""), "damaged"),
        (with_header(b'{"a": ' + b"[" * 100_000, b""), "damaged"),
        (with_header(b'{"\xff": 1}', b""), "'utf-8' codec can't decode"),
        (with_header(b'{"a"', b""), "damaged"),
        (with_header({"__metadata__": {"producer": "CSENet"}}, b""), "no description"),
        (with_header({"__metadata__": ENTRIES | {"description": "{"}}, b""), "damaged"),
        (with_header({"__metadata__": ENTRIES}, b""), "holds no tensors"),
        (with_header({"__metadata__": ENTRIES | {"input_size": "[0]"}, "conv1.weight": tensor()}), "another network"),
    ],
)
def test_damaged_files_are_told_in_one_sentence(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        load_model(path)
    message = str(error.value)
    assert reason in message
    assert message.startswith(f"'{path}'")
    assert len(message.splitlines()) == 1
    assert len(message) < 500 + len(str(path))


def test_without_the_package_the_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(SMALL, tmp_path / "x.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(CheckpointError, match="needs the package safetensors: pip install safetensors"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_a_bit_turned_in_an_exported_file_is_found(tmp_path: Path) -> None:
    path, exported = tmp_path / "x.safetensors", safetensors_bytes(SMALL, ENTRIES)
    path.write_bytes(exported)
    expected = read_checkpoint(path)
    assert all(torch.equal(expected["model"][name], value) for name, value in SMALL.items())
    end_of_header = 8 * (8 + int.from_bytes(exported[:8], "little"))
    bits = [*range(end_of_header, 8 * len(exported)), *random.Random(0).sample(range(end_of_header), 300)]
    for bit in bits:
        content = bytearray(exported)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = read_checkpoint(path)
        except CheckpointError:
            continue
        # The bit is in the name of the checksum or of the producer, without which nothing is compared.
        assert bit < end_of_header
        assert found["model"].keys() == SMALL.keys()
        assert all(torch.equal(found["model"][name], value) for name, value in SMALL.items())
        assert {**expected, **found}.keys() == expected.keys()
        assert all(found[name] == expected[name] for name in found.keys() - {"model"})


FILE = save(SMALL, ENTRIES)
HEADER = 8 + int.from_bytes(FILE[:8], "little")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, HEADER + 8), st.integers(0, 255)), max_size=4),
    end=st.integers(0, len(FILE)) | st.just(len(FILE)),
)
def test_any_bytes_in_the_header_end_in_weights_or_in_a_sentence(
    tmp_path: Path, changes: list[tuple[int, int]], end: int
) -> None:
    content = bytearray(FILE)
    for place, value in changes:
        content[place] = value
    path = tmp_path / "x.safetensors"
    path.write_bytes(content[:end])
    try:
        found = read_checkpoint(path)
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either end is right
    else:
        assert all(isinstance(value, Tensor) for value in found["model"].values())
