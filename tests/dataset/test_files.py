"""Folders and text files as people's computers leave them: hidden files, links, byte order marks."""

import os
from pathlib import Path
from typing import Any

import pytest

from dataset.files import read_text, visible_files


def listed(folder: Path, **options: object) -> list[str]:
    errors: list[OSError] = []
    names = [*visible_files(folder, on_unreadable=errors.append, **options)]  # type: ignore[arg-type]
    assert not errors
    return names


def make(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def test_hidden_files_and_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    make(
        tmp_path, "b.jpg", "a.jpg", "._a.jpg", ".DS_Store", "sub/deep/c.jpg", "sub/._c.jpg", ".cache/d.jpg", "no_suffix"
    )
    assert listed(tmp_path) == ["a.jpg", "b.jpg", "no_suffix", "sub/deep/c.jpg"]


def test_a_folder_that_is_hidden_itself_is_listed_when_it_is_named(tmp_path: Path) -> None:
    make(tmp_path, ".hidden/a.jpg")
    assert listed(tmp_path / ".hidden") == ["a.jpg"]


def test_links_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path, "real/a.jpg", "tree/b.jpg")
    (tmp_path / "tree/link").symlink_to(tmp_path / "real")
    (tmp_path / "tree/loop").symlink_to(tmp_path / "tree")
    assert listed(tmp_path / "tree") == ["b.jpg", "link/a.jpg"]
    assert listed(tmp_path / "tree", skipped=[tmp_path / "real"]) == ["b.jpg"]


def test_what_cannot_be_listed_is_told(tmp_path: Path) -> None:
    errors: list[OSError] = []
    assert [*visible_files(tmp_path / "nowhere", on_unreadable=errors.append)] == []
    assert [error.filename for error in errors] == [str(tmp_path / "nowhere")]


def test_an_unreadable_subfolder_does_not_hide_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jpg", "closed/b.jpg", "open/c.jpg")
    scandir = os.scandir

    def refuse(path: str) -> Any:  # root, as whom tests may run, may list everything
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    errors: list[OSError] = []
    assert [*visible_files(tmp_path, on_unreadable=errors.append)] == ["a.jpg", "open/c.jpg"]
    assert [error.filename for error in errors] == [str(tmp_path / "closed")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_are_no_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "ids.txt").write_text("0001\nJosé\n", encoding=encoding)
    assert read_text(tmp_path / "ids.txt") == "0001\nJosé\n"
    (tmp_path / "big.txt").write_bytes(b"\xfe\xff" + "é".encode("utf-16-be"))
    assert read_text(tmp_path / "big.txt") == "é"


def test_other_encodings_are_errors(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_bytes("José".encode("latin-1"))
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "ids.txt")
