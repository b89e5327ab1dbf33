"""Files that cannot be opened as checkpoints, and what a person reads then."""

import argparse
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.support.weights import published
from utils.checkpoint import CheckpointError, read_checkpoint


def unreadable(path: str | os.PathLike[str]) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    return str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "nothing.pth"
    assert unreadable(path) == f"'{path}' does not exist"
    with pytest.raises(FileNotFoundError):  # for callers who expect what open() raises
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["LIP_epoch_Best.pth", "resnet101-imagenet.pth"])
def test_of_missing_files_that_the_authors_published_it_says_where_they_are(tmp_path: Path, name: str) -> None:
    message = unreadable(tmp_path / name)
    assert message == f"'{tmp_path / name}' does not exist; README.md says under \"Weights\" where to download it"
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in readme.partition("\n## Weights\n")[2].partition("\n## ")[0]


def test_folder(tmp_path: Path) -> None:
    assert unreadable(tmp_path) == f"'{tmp_path}' is a folder; give the checkpoint file in it"


def test_path_that_no_file_can_have() -> None:
    assert "cannot be read: File name too long" in unreadable("x" * 5000)


def test_file_that_the_system_refuses_to_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.pth"
    path.write_bytes(b"weights")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert unreadable(path) == f"'{path}' cannot be read: Permission denied"


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
def test_what_failed_downloads_leave(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    text = unreadable(path)
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
def test_truncated_file(share: float, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": published()}, path, _use_new_zipfile_serialization=zipped)
    size = int(path.stat().st_size * share)
    os.truncate(path, size)
    text = unreadable(path)
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
def test_code_in_a_file_does_not_run(function: str, save: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "it_ran"
    attack = Attack(os.mkdir, str(trace)) if function == "mkdir" else Attack(eval, f"open({str(trace)!r}, 'w')")
    content = {"model": published(), "extra": attack}
    if save == "pickle":
        path.write_bytes(pickle.dumps({"extra": attack}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "zip")
    text = unreadable(path)
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
def test_python_objects_beside_the_weights(extra: object, name: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model": published(), "extra": extra}, path, _use_new_zipfile_serialization=zipped)
    text = unreadable(path)
    assert text.startswith(f"'{path}' was not opened: it holds Python objects ({name}")
    assert "Save the state dict alone: torch.save(model.state_dict(), path)" in text
    assert_fit_for_a_person(text)


@pytest.mark.parametrize(
    ("content", "kind"), [([torch.zeros(3)], "list"), (torch.zeros(3), "Tensor"), (None, "NoneType"), ("abc", "str")]
)
def test_file_that_holds_no_dict(content: object, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    assert unreadable(path) == f"'{path}' holds a {kind}, not a dict of tensors"


@pytest.mark.filterwarnings("ignore")
def test_torchscript_program(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "program.pt", "w") as archive:
        for name in ("version", "data.pkl", "constants.pkl"):  # the last one is what tells a program from weights
            archive.writestr(f"program/{name}", b"3\n")
    text = unreadable(tmp_path / "program.pt")
    assert "is not a PyTorch checkpoint" in text
    assert_fit_for_a_person(text)
