"""Files appear whole or not at all."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from dataset.writing import check_writable, whole_file, write_json

ROOT = Path(__file__).parents[2]


def test_a_file_has_its_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.bin"
    with whole_file(path) as file:
        file.write(b"content")
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert os.listdir(path.parent) == ["file.bin"]


def test_two_runs_may_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with whole_file(path) as file:
        file.write(b"first")
        with whole_file(path) as other:
            other.write(b"another")
        assert path.read_bytes() == b"another"
        file.write(b" run")
    assert path.read_bytes() == b"first run"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    script = (
        "import os, signal, sys; from dataset.writing import whole_file\n"
        "with whole_file(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def open_full(path: Path, mode: str) -> IO[bytes]:
        real_open(path, mode).close()
        return real_open(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", open_full)
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*/map\.png'$") as caught,
        whole_file(tmp_path / "map.png") as file,
    ):
        file.write(b"content")
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "Last.pth"
    link.symlink_to(tmp_path / "disk" / "real.pth")
    with whole_file(link) as file:
        file.write(b"weights")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.pth").read_bytes() == b"weights"
    assert os.listdir(tmp_path / "disk") == ["real.pth"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: os.mkfifo(path), "is no regular file"),
        (lambda path: path.symlink_to(path), "symbolic link"),
    ],
)
def test_what_is_no_file_is_not_replaced_by_one(make: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    make(path)  # type: ignore[operator]
    with pytest.raises(OSError, match=reason) as caught:
        write_json(path, {})
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"taken'$"):
        write_json(tmp_path / "taken" / "report.json", {})


def test_a_check_before_the_work_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    check_writable(path)
    assert os.listdir(tmp_path) == []
    path.write_text("old")
    check_writable(path)
    assert path.read_text() == "old"
    with pytest.raises(OSError, match="is a folder"):
        check_writable(tmp_path)


def test_another_files_error_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"photo\.jpg"), whole_file(tmp_path / "report.json"):
        (tmp_path / "photo.jpg").read_bytes()


def test_an_error_without_a_number_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="encoder error -2"), whole_file(tmp_path / "a.jpg"):
        raise OSError("encoder error -2")


def test_json_is_utf8_with_real_letters_and_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"Größe": [1, None]})
    assert path.read_bytes() == '{\n "Größe": [\n  1,\n  null\n ]\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"mean_iou": float("nan")})
    assert list(tmp_path.iterdir()) == [path]


def test_json_keeps_file_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode(errors="surrogateescape")
    write_json(tmp_path / "a.json", {"path": name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"path": name}
