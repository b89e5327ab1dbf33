"""What strangers who speak HTTP to the web page can read of the computer that serves it: their own uploads."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drawn import drawn, encoded
from tests.support.page_visitor import Visitor, file_data, served_page
from utils.web.upload import Limits, UploadError, read_upload


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Not where the tests are collected: gradio takes five seconds to import."""
    pytest.importorskip("gradio", reason='pip install -e ".[app]"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's own folder, beside a picture that is nobody's business."""
    parent = tmp_path_factory.mktemp("computer")
    (parent / "private.png").write_bytes(encoded(drawn()))
    own = parent / "page"
    own.mkdir()
    return own


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        with served_page(folder, Limits()) as result:
            yield result


def said(events: list[dict[str, Any]]) -> str:
    return str([event for event in events if event["msg"] in ("log", "process_completed")])


WAYS_OUT = ["plain", "dotted", "with another kind of meta", "link", "folder", "pipe", "device", "missing", "NUL"]


def outside(way: str, folder: Path) -> dict[str, Any]:
    """Return what a stranger may say instead of an upload."""
    private, own = folder.parent / "private.png", folder / "own"
    own.mkdir(exist_ok=True)
    if way == "link":
        (own / "link.png").unlink(missing_ok=True)
        (own / "link.png").symlink_to(private)
    if way == "pipe" and not (own / "pipe").exists():
        os.mkfifo(own / "pipe")
    paths = {
        "plain": private,
        "dotted": f"{folder}/../private.png",
        "link": own / "link.png",
        "folder": own,
        "pipe": own / "pipe",
        "device": "/dev/zero",
        "missing": own / "none.png",
        "NUL": f"{private}\0.png",
    }
    meta = {"meta": {"_type": "gradio.Other"}} if way == "with another kind of meta" else {}
    return {"path": str(paths.get(way, private)), **meta}


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links")
@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("prefix", ["run", "api", "call"])
def test_files_outside_the_pages_folder_are_not_opened(address: str, folder: Path, way: str, prefix: str) -> None:
    visitor, data = Visitor(address), [outside(way, folder), [1.0], False]
    answer = visitor.post(f"/gradio_api/{prefix}/parse_upload", {"data": data})
    if prefix == "call" and answer.status == 200:  # a promise
        answer = visitor.send(f"/gradio_api/call/parse_upload/{json.loads(answer.body)['event_id']}")
    assert b"base64" not in answer.body


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and links")
@pytest.mark.parametrize("way", WAYS_OUT)
def test_the_queue_says_that_they_are_no_uploads(address: str, folder: Path, way: str) -> None:
    visitor = Visitor(address)
    words = said(visitor.call("parse_upload", [outside(way, folder), [1.0], False]))
    assert "base64" not in words
    assert "among the uploads of this page" in words


def test_uploads_are_parsed(address: str) -> None:
    visitor = Visitor(address)
    [path] = json.loads(visitor.upload(encoded(drawn())).body)
    events = visitor.call("parse_upload", [file_data(path), [1.0], False])
    assert "data:image/jpeg;base64," in said(events)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(encoded(drawn()))
    before = os.lstat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr("utils.web.upload.os.lstat", lambda _: before)
    with pytest.raises(UploadError, match="among the uploads"):
        read_upload(path, "upload.png", Limits(), tmp_path)
