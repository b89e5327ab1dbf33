"""The web page of `app.py` in headless Chromium, with a short network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.descriptions import BUILT_IN
from networks import CSENet
from tests.support.browser import Visit, chromium, missing_programs, served
from tests.support.crowd import PEOPLE, crowd
from tests.support.drawn import drawn, encoded
from tests.support.started import wait_for
from utils.checkpoint.snapshots import snapshot_content, write_snapshot
from utils.inference import HumanParser
from utils.inference.people import parsed_boxes

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("short_backbones")]

LIP = BUILT_IN["lip"]


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")


@pytest.fixture(scope="module")
def checkpoint(short_network: CSENet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "short.pth"
    write_snapshot(path, snapshot_content(short_network, LIP))
    return path


@pytest.fixture(scope="module")
def address(_installed: None, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ["--device", "cpu", "--people", "auto", "--max-upload-mb", "0.5", "--max-picture-side", "500"]
    script = ("tests/support/short.py", "tests/support/crowd.py")
    with served(checkpoint, tmp_path_factory.mktemp("served"), options, script) as result:
        yield result


@pytest.fixture(scope="module")
def browser(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def visit(browser: Any, address: str, tmp_path: Path) -> Iterator[Visit]:
    """A fresh visit to the page, which must ask no other computer for anything and make no errors."""
    (tmp_path / "downloads").mkdir()
    result = Visit(browser, address, tmp_path / "downloads")
    yield result
    assert result.hosts() == {"127.0.0.1"}
    assert result.errors() == []


@pytest.fixture(scope="module")
def parser(short_backbones: None, checkpoint: Path) -> HumanParser:
    return HumanParser.from_checkpoint(checkpoint, "cpu")


@pytest.fixture
def anna(tmp_path: Path) -> Path:
    path = tmp_path / "anna.png"
    path.write_bytes(encoded(drawn()))
    return path


def colours(parser: HumanParser, classes: NDArray[np.uint8], shown: list[int]) -> NDArray[np.uint8]:
    """Return what should be painted over the picture, (H, W, 4)."""
    visible = np.isin(classes, shown)[..., None]
    return np.concatenate([parser.palette[classes] * visible, 255 * visible], axis=2).astype(np.uint8)


def test_page_says_what_is_loaded_and_parses_examples(visit: Visit) -> None:
    status = " ".join(visit.one("#status").text.split())
    assert "short.pth" in status
    assert "20 classes of lip" in status
    assert status.endswith("cpu")
    assert "Choose a picture" in visit.messages()
    visit.click("#examples .gallery-item")
    visit.wait_for_scene()
    assert visit.all("#legend .classes .switches button")


def test_classes_and_opacity_change_without_the_server(visit: Visit, anna: Path, parser: HumanParser) -> None:
    classes = parser.predict(anna)
    present = [int(index) for index in np.unique(classes) if index]
    visit.upload(anna)
    visit.wait_for_scene()
    names = [button.text.splitlines()[0] for button in visit.all("#legend .classes .switches button")]
    assert names == [LIP.class_names[index] for index in present]
    assert np.array_equal(visit.painted(), colours(parser, classes, present))
    visit.requests()
    visit.click(f'#legend button[data-index="{present[0]}"]')
    assert np.array_equal(visit.painted(), colours(parser, classes, present[1:]))
    visit.click("#legend .classes .none")
    assert not visit.painted().any()
    visit.click("#legend .classes .all")
    assert np.array_equal(visit.painted(), colours(parser, classes, present))
    before = visit.one("#view canvas").value_of_css_property("opacity")
    visit.one("#opacity input[type=number]").send_keys("\ue009a\ue000" + "0.25\t")
    wait_for(lambda: visit.one("#view canvas").value_of_css_property("opacity") == "0.25", "the opacity")
    assert before == "0.6"
    assert visit.requests() == []


def test_class_below_the_pointer_is_named_and_stands_out(visit: Visit, anna: Path, parser: HumanParser) -> None:
    classes = parser.predict(anna)
    visit.upload(anna)
    visit.wait_for_scene()
    for index in np.unique(classes):
        row, column = np.argwhere(classes == index)[(classes == index).sum() // 2]
        assert visit.hover(row, column) == LIP.class_names[index]
        alpha = visit.painted()[..., 3]
        others = (classes != index) & (classes != 0)
        assert (alpha[others] == (110 if index else 255)).all()
        assert (alpha[classes == index] == (255 if index else 0)).all()


def test_formats_that_browsers_do_not_show_are_seen_where_they_were_chosen(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "anna.tif").write_bytes(encoded(drawn(), "TIFF"))
    visit.upload(tmp_path / "anna.tif")
    visit.wait_for_scene()
    width = "return document.querySelector('#upload img').naturalWidth"
    assert wait_for(lambda: visit.driver.execute_script(width), "the picture") == drawn().shape[1]


def test_downloads_and_scales(visit: Visit, anna: Path, parser: HumanParser) -> None:
    classes = parser.predict(anna)
    visit.upload(anna)
    visit.wait_for_scene()
    mask = Image.open(visit.download("mask", "anna-mask.png"))
    assert mask.mode == "P"
    assert np.array_equal(np.asarray(mask), classes)
    hidden = int(np.unique(classes)[-1])
    visit.click(f'#legend button[data-index="{hidden}"]')
    cutout = np.asarray(Image.open(visit.download("cutout", "anna-cutout.png")))
    kept = (classes != 0) & (classes != hidden)
    assert np.array_equal(cutout[..., 3] >= 128, kept)
    assert np.array_equal(cutout[kept][:, :3], drawn()[kept])
    assert Image.open(visit.download("overlay", "anna-overlay.jpg")).format == "JPEG"
    (visit.downloads / "anna-mask.png").unlink()
    visit.click("#accuracy button")
    for changed in ('#scales input[name="1.25"]', "#mirror input"):
        number = visit.number()
        visit.click(changed)
        visit.wait_for_scene(number)
    classes = parser.predict(anna, scales=(1, 1.25), mirror=False)
    mask = Image.open(visit.download("mask", "anna-mask.png"))
    assert np.array_equal(np.asarray(mask), classes)
    assert visit.one(f'#legend button[data-index="{hidden}"]').get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"These are words.", "“words.png” is not a picture this page can read"),
        (encoded(drawn())[:5000], "is damaged or incomplete"),
        (encoded(drawn(size=(40, 600))), "has 600 × 40 pixels; this page takes pictures of up to 500"),
        (bytes(600_000), "exceed the maximum allowed size of 512.0 Kb"),
    ],
    ids=["words", "half a picture", "large picture", "large file"],
)
def test_unusable_files_get_a_friendly_message(
    visit: Visit, anna: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "words.png").write_bytes(content)
    visit.upload(tmp_path / "words.png")
    wait_for(lambda: message in visit.messages(), f"the message ({visit.messages()})", 10)
    assert visit.number() == 0
    visit.upload(anna)
    visit.wait_for_scene()


def test_people_are_found_where_asked_and_switched_on_and_off(
    visit: Visit, parser: HumanParser, tmp_path: Path
) -> None:
    (tmp_path / "crowd.png").write_bytes(encoded(crowd()))
    expected = parser.predict(crowd(), person_boxes=parsed_boxes(PEOPLE), return_people=True)
    assert expected.people is not None
    present = [int(index) for index in np.unique(expected.classes) if index]
    both, second = np.isin(expected.people, [1, 2]), expected.people == 2
    visit.upload(tmp_path / "crowd.png")
    visit.wait_for_scene()
    assert visit.all("#legend .people .switches button") == []
    assert np.array_equal(visit.painted(), colours(parser, parser.predict(crowd()), list(range(1, 20))))
    number = visit.number()
    visit.click("#several input")
    visit.wait_for_scene(number)
    names = [button.text.splitlines()[0] for button in visit.all("#legend .people .switches button")]
    assert names == ["Person 1", "Person 2"]
    assert np.array_equal(visit.painted(), colours(parser, expected.classes, present) * both[..., None])
    visit.requests()
    row, column = np.argwhere(second & (expected.classes == present[0]))[0]
    assert visit.hover(row, column) == f"{LIP.class_names[present[0]]}, Person 2"
    visit.click("#legend .people .switches button")
    visit.hover(0, 0)
    assert np.array_equal(visit.painted(), colours(parser, expected.classes, present) * second[..., None])
    visit.click("#legend .classes .none")
    visit.click(f'#legend button[data-index="{present[0]}"]')
    assert np.array_equal(visit.painted(), colours(parser, expected.classes, present[:1]) * second[..., None])
    assert visit.requests() == []
    cutout = np.asarray(Image.open(visit.download("cutout", "crowd-cutout.png")))
    assert np.array_equal(cutout[..., 3] >= 128, second & (expected.classes == present[0]))
