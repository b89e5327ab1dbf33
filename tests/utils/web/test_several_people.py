"""Several people on the web page, with a detector that finds known boxes; `test_app_in_browser.py` does the rest."""

import base64
import importlib.util
import io
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import app
from dataset.descriptions import BUILT_IN
from tests.support.crowd import PEOPLE, CrowdDetector, crowd
from tests.support.drawn import drawn, encoded
from tests.support.tiny_parser import tiny_parser
from utils.inference.people import DetectorError, PersonDetector, parsed_boxes
from utils.web.results import Parsed, download, legend_rows
from utils.web.upload import Limits

LIP = BUILT_IN["lip"]
ANNA: Any = SimpleNamespace(session_hash="anna")  # who asks


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("gradio", reason='pip install -e ".[app]"')
    from utils.web.page import WebPage

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    detector: Any = CrowdDetector()
    return WebPage(tiny_parser(), "tiny.pth", Limits(), detector)


def parse(page: Any, folder: Path, content: bytes, *, several: bool, name: str = "a.png") -> Any:
    from utils.web.components import Upload

    (folder / name).write_bytes(content)
    return page.parse_upload(Upload(str(folder / name), name), [1.0], False, ANNA, several)


def made(page: Any, kind: str, legend: Any) -> Any:
    with Image.open(page.make_file(kind, legend, 1.0, ANNA)) as picture:
        return np.asarray(picture)


def test_people_have_switches_beside_the_classes_and_downloads_follow_both(page: Any, tmp_path: Path) -> None:
    expected = page.parser.predict(crowd(), mirror=False, person_boxes=parsed_boxes(PEOPLE), return_people=True)
    view, legend = parse(page, tmp_path, encoded(crowd()), several=True)
    rows = legend["rows"]
    assert [row["name"] for row in rows if row["kind"] == "people"] == ["Person 1", "Person 2"]
    for number, row in enumerate(rows[:2], 1):
        assert row["percent"] == pytest.approx(100 * np.mean(expected.people == number), abs=1e-3)
    packed = zlib.decompress(base64.b64decode(view["people"]))
    assert np.array_equal(np.frombuffer(packed, "<u2").reshape(240, 320), expected.people)
    assert [view["names"][str(row["index"])] for row in rows] == [row["name"] for row in rows]

    first, second, *classes = legend["shown"]
    for shown, person in (([first, *classes], [1]), ([second, *classes], [2]), (classes, []), ([first, second], [])):
        cutout = made(page, "cutout", {**legend, "shown": shown})
        assert np.array_equal(cutout[..., 3] >= 128, np.isin(expected.people, person))
    one_class = made(page, "cutout", {**legend, "shown": [second, classes[0]]})
    assert np.array_equal(one_class[..., 3] >= 128, (expected.people == 2) & (expected.classes == classes[0]))
    assert np.array_equal(made(page, "mask", {**legend, "shown": []}), expected.classes)


def test_overlays_leave_out_the_people_who_are_switched_off() -> None:
    picture, people = np.full((500, 400, 3), 90, np.uint8), np.ones((500, 400), np.uint8)
    people[:, 200:] = 2
    parsed = Parsed("a", picture, np.full((500, 400), 5, np.uint8), np.full((500, 400), 255, np.uint8), people)
    switches = {row["name"]: row["index"] for row in legend_rows(parsed, LIP)}
    shown = [switches["Person 2"], switches[LIP.class_names[5]]]
    overlay = np.asarray(Image.open(io.BytesIO(download("overlay", parsed, LIP, shown, 1.0)[1])))
    assert np.abs(overlay[:500, :190].astype(int) - 90).max() < 8
    assert np.abs(overlay[:500, 210:400].astype(int) - LIP.palette[5]).max() < 8


def test_people_are_looked_for_only_where_they_are_asked_for(page: Any, tmp_path: Path) -> None:
    view, legend = parse(page, tmp_path, encoded(crowd()), several=False)
    assert view["people"] is None
    assert {row["kind"] for row in legend["rows"]} == {"classes"}
    assert np.array_equal(made(page, "mask", legend), page.parser.predict(crowd(), mirror=False))
    _, both = page.parse_again(legend, [1.0], False, ANNA, True)
    hidden = both["shown"][1:]
    _, again = page.parse_again({**both, "shown": hidden}, [1.0, 1.25], False, ANNA, True)
    assert [row["name"] for row in again["rows"][:2]] == ["Person 1", "Person 2"]
    assert again["rows"][0]["index"] not in again["shown"]
    assert again["rows"][1]["index"] in again["shown"]
    page.detector = None
    assert parse(page, tmp_path, encoded(crowd()), several=True)[0]["people"] is None


def test_where_nobody_is_found_the_page_says_so_and_parses_whole_when_asked(page: Any, tmp_path: Path) -> None:
    view, legend = parse(page, tmp_path, encoded(drawn()), several=True)
    assert legend["rows"] == []
    assert view["note"] == "Nobody was found in this picture; without “Several people” it is parsed whole."
    view, legend = page.parse_again(legend, [1.0], False, ANNA, False)
    assert np.array_equal(made(page, "mask", legend), page.parser.predict(drawn(), mirror=False))


def test_the_person_map_counts_among_what_is_kept() -> None:
    picture, classes = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20), np.uint8)
    assert Parsed("a", picture, classes, classes).nbytes == 1000
    assert Parsed("a", picture, classes, classes, classes).nbytes == 1200
    assert Parsed("a", picture, classes, classes, classes.astype(np.uint16)).nbytes == 1400


# What phones send


def test_a_heic_picture_is_taken_upright(page: Any, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason='pip install -e ".[heif]"')
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    view, legend = parse(page, tmp_path, encoded(drawn(), "HEIF", exif=exif.tobytes()), several=False, name="a.heic")
    assert (view["width"], view["height"]) == (240, 160)
    assert made(page, "mask", legend).shape == (160, 240)


# The command line


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason='pip install -e ".[app]"')
def test_a_detector_that_cannot_be_had_ends_the_program_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise DetectorError("the weights of torchvision's person detector could not be downloaded (no network)")

    monkeypatch.setattr(app.HumanParser, "from_checkpoint", lambda *_, **__: tiny_parser())
    monkeypatch.setattr(PersonDetector, "load", offline)
    monkeypatch.setitem(sys.modules, "utils.web.server", None)  # nothing is served
    assert app.main(["--checkpoint", "a.pth", "--people", "auto"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("app.py: the weights of torchvision's person detector could not be downloaded")
    assert error.count("\n") == 1


def test_weights_of_a_detector_need_people_to_find(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.parse_options(["--checkpoint", "a.pth", "--people-weights", "b.pth"])
    assert "add --people auto" in capsys.readouterr().err
