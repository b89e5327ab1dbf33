"""The web page without a browser: limits, messages, results; `test_app_in_browser.py` does the rest."""

import base64
import io
import json
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

import app
from dataset.descriptions import BUILT_IN
from tests.support.drawn import drawn, encoded
from tests.support.full_disk import files_of_at_most
from tests.support.tiny_parser import tiny_parser
from utils.web.results import KINDS, Parsed, download, legend_rows, scene
from utils.web.upload import Limits, UploadError, read_upload

LIP = BUILT_IN["lip"]
LIMITS = Limits(upload_mb=0.5, picture_side=500)


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG that promises a large picture."""
    data = bytearray(encoded(np.zeros((1, 1, 3), np.uint8)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.fixture(scope="module")
def parsed() -> Parsed:
    picture = drawn()
    found = tiny_parser().predict(picture, alpha_of=LIP.foreground)
    assert found.alpha is not None
    return Parsed("anna", picture, found.classes, found.alpha)


# Uploads


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG2000"])
def test_uploads_are_read(tmp_path: Path, kind: str) -> None:
    (tmp_path / "upload").write_bytes(encoded(drawn(), kind))
    assert np.array_equal(read_upload(tmp_path / "upload", "a", LIMITS, tmp_path), drawn())


def test_orientation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    (tmp_path / "upload.png").write_bytes(encoded(drawn(), exif=exif))
    assert np.array_equal(read_upload(tmp_path / "upload.png", "a", LIMITS, tmp_path), np.rot90(drawn(), -1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"These are words.", "“x.png” is not a picture this page can read"),
        (b"", "not a picture"),
        (encoded(drawn())[:5000], "damaged or incomplete"),
        (encoded(drawn(), "JPEG")[:2000], "damaged or incomplete"),
        (bytes(600_000), r"has 0.6 MB; this page takes up to 0.5 MB"),
        (bomb(501, 20), "has 501 × 20 pixels; this page takes pictures of up to 500 pixels a side"),
        (bomb(10_000, 10_000), "10000 × 10000 pixels"),
        (bomb(60_000, 60_000), "far too many pixels"),
    ],
    ids=["words", "nothing", "half a PNG", "half a JPEG", "large file", "large picture", "bomb", "large bomb"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_unusable_uploads_get_a_message(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "upload").write_bytes(content)
    with pytest.raises(UploadError, match=message):
        read_upload(tmp_path / "upload", "x.png", LIMITS, tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("utils.web.upload.rgb_picture", fail)
    (tmp_path / "upload").write_bytes(bomb(12_000, 9_000))
    with pytest.raises(UploadError, match="12000 × 9000"):
        read_upload(tmp_path / "upload", "x.png", LIMITS, tmp_path)


# What is shown and handed out


def test_scene_and_legend_are_the_class_map(parsed: Parsed) -> None:
    shown = scene(parsed, LIP, [2])
    data = zlib.decompress(base64.b64decode(shown["classes"]))
    assert np.array_equal(np.frombuffer(data, np.uint8).reshape(240, 160), parsed.classes)
    rows = legend_rows(parsed, LIP)
    assert [row["index"] for row in rows] == [index for index in np.unique(parsed.classes) if index]
    assert rows[0]["name"] == LIP.class_names[rows[0]["index"]]
    share = 100 * np.mean(parsed.classes == rows[0]["index"])
    assert rows[0]["percent"] == pytest.approx(share, abs=1e-3)
    json.dumps([shown, rows])


def test_large_scenes_shrink(parsed: Parsed) -> None:
    nothing = np.zeros((200, 2000), np.uint8)
    large = Parsed("a", np.zeros((200, 2000, 3), np.uint8), nothing, nothing)
    assert (scene(large, LIP, [])["width"], scene(large, LIP, [])["height"]) == (1280, 128)


def test_downloads(parsed: Parsed) -> None:
    hair = [int(np.unique(parsed.classes)[1])]
    name, data = download("mask", parsed, LIP, hair, 0.6)
    mask = Image.open(io.BytesIO(data))
    assert (name, mask.mode) == ("anna-mask.png", "P")
    assert np.array_equal(np.asarray(mask), parsed.classes)
    name, data = download("cutout", parsed, LIP, hair, 0.6)
    cutout = np.asarray(Image.open(io.BytesIO(data)))
    assert name == "anna-cutout.png"
    assert np.array_equal(cutout[..., 3] >= 128, parsed.classes == hair[0])
    name, strong = download("overlay", parsed, LIP, hair, 1.0)
    assert name == "anna-overlay.jpg"
    assert strong != download("overlay", parsed, LIP, hair, 0.2)[1]
    assert strong != download("overlay", parsed, LIP, [], 1.0)[1]


def test_cutouts_are_soft_towards_the_background_alone(parsed: Parsed) -> None:
    classes, alpha = np.zeros((9, 12), np.uint8), np.zeros((9, 12), np.uint8)
    classes[:, 3:6], classes[:, 6:9] = 5, 9
    alpha[:, 2:10] = [60, 200, 255, 255, 255, 255, 190, 70]
    whole = Parsed("a", np.full((9, 12, 3), 7, np.uint8), classes, alpha)

    def cut(shown: list[int]) -> list[int]:
        cutout = np.asarray(Image.open(io.BytesIO(download("cutout", whole, LIP, shown, 0.6)[1])))
        assert (cutout == cutout[0]).all()
        return cutout[0, :, 3].tolist()

    assert cut([5, 9]) == [0, 0, 60, 200, 255, 255, 255, 255, 190, 70, 0, 0]
    assert cut([5]) == [0, 0, 60, 200, 255, 255, 0, 0, 0, 0, 0, 0]
    assert cut([9]) == [0, 0, 0, 0, 0, 0, 255, 255, 190, 70, 0, 0]
    assert cut([]) == [0] * 12
    assert np.unique(parsed.alpha).size > 2


def test_names_of_downloads_are_no_longer_than_disks_take(parsed: Parsed) -> None:
    long = Parsed("n" * 251, parsed.picture, parsed.classes, parsed.alpha)
    names = [download(kind, long, LIP, [], 0.6)[0] for kind in KINDS]
    assert [len(name) for name in names] == [255, 255, 255]
    assert [name.rpartition("-")[2] for name in names] == ["mask.png", "overlay.jpg", "cutout.png"]


# The page's events


ANNA: Any = SimpleNamespace(session_hash="anna")  # who asks


def mask(page: Any, legend: Any) -> Any:
    with Image.open(page.make_file("mask", legend, 0.6, ANNA)) as picture:
        return np.asarray(picture)


@pytest.fixture
def page(_upload_folder: None) -> Any:
    pytest.importorskip("gradio", reason='pip install -e ".[app]"')
    from utils.web.page import WebPage

    return WebPage(tiny_parser(), "tiny.pth", LIMITS)


@pytest.fixture(autouse=True)
def _upload_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def upload(folder: Path, content: bytes, name: str = "anna.png") -> Any:
    from utils.web.components import Upload

    (folder / name).write_bytes(content)
    return Upload(str(folder / name), name)


def test_events_parse_once_and_keep_what_is_hidden(page: Any, tmp_path: Path) -> None:
    view, legend = page.parse_upload(upload(tmp_path, encoded(drawn())), [1.0], True, ANNA)
    assert np.array_equal(mask(page, legend), page.parser.predict(drawn()))
    first, *rest = legend["shown"]
    view_again, legend_again = page.parse_again({**legend, "shown": rest}, [1.25, 0.75], False, ANNA)
    assert np.array_equal(mask(page, legend), page.parser.predict(drawn(), scales=(0.75, 1.25), mirror=False))
    assert first not in legend_again["shown"]
    assert view_again["number"] > view["number"]
    assert "tiny.pth" in page.status()
    assert "`cpu`" in page.status()


def test_events_say_what_went_wrong(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("gradio.Warning", lambda message, **_: warnings.append(message))
    view, legend = page.parse_upload(upload(tmp_path, b"words", "<b>.png"), [1.0], True, ANNA)
    assert "not a picture" in view["note"]
    assert legend["rows"] == []
    assert warnings[-1].startswith("“&lt;b&gt;.png”")
    assert "picture" not in page.parse_upload(upload(tmp_path, encoded(drawn())), [], True, ANNA)[0]
    assert "at least one scale" in warnings[-1]
    assert page.make_file("mask", None, 0.6, ANNA) is None
    assert "choose a picture first" in warnings[-1]
    assert page.shown({"shown": [3, 999, -1, "hat"]}) == [3]


def test_a_download_for_which_there_is_no_room_leaves_nothing_and_says_so(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr("gradio.Warning", lambda message, **_: warnings.append(message))
    _, legend = page.parse_upload(upload(tmp_path, encoded(drawn())), [1.0], True, ANNA)
    with files_of_at_most(500):
        assert page.make_file("cutout", legend, 0.6, ANNA) is None
    assert "cannot write your download (File too large)" in warnings[-1]
    assert [path.name for path in tmp_path.rglob("*")] == ["anna.png"]
    assert page.make_file("cutout", legend, 0.6, ANNA)


# The command line


def test_unusable_checkpoints_end_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason='pip install -e ".[app]"')
    (tmp_path / "words.pth").write_text("words")
    for name, message in (("none.pth", "does not exist"), ("words.pth", "is not a PyTorch checkpoint")):
        assert app.main(["--checkpoint", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_pages_own_limit_replaces_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # and so it is undone
    monkeypatch.setattr(app.HumanParser, "from_checkpoint", lambda *_, **__: tiny_parser())
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    monkeypatch.setattr(app, "find_spec", lambda _: True)  # as if Gradio were installed
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")
    server: Any = MagicMock()
    for name in ("page", "server"):
        monkeypatch.setitem(sys.modules, f"utils.web.{name}", server)
    app.run(app.parse_options(["--checkpoint", "a.pth", "--max-picture-side", "20000"]))
    assert server.launch.called
    assert Image.MAX_IMAGE_PIXELS == 20_000**2


def test_missing_gradio_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "find_spec", lambda _: None)
    assert app.main(["--checkpoint", "a.pth"]) == 2
    assert capsys.readouterr().err == 'app.py: the page needs gradio: pip install -e ".[app]"\n'
