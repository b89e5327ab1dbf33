"""What strangers who speak HTTP to the web page can take of the computer that serves it: a bounded share."""

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import served
from tests.support.drawn import drawn, encoded
from tests.support.page_visitor import Visitor, file_data, served_page
from tests.support.started import wait_for
from tests.support.tiny_parser import tiny_parser
from utils.web.upload import Limits


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    """Not where the tests are collected: gradio takes five seconds to import."""
    pytest.importorskip("gradio", reason='pip install -e ".[app]"')


PICTURE_BYTES = 4 * drawn().shape[0] * drawn().shape[1]
LIMITS = Limits(
    upload_mb=0.25, memory_mb=2.5 * PICTURE_BYTES / 2**20, disk_mb=2.5, session_mb=3 * PICTURE_BYTES / 2**20
)
WAITING = 6  # calls: each that waits is answered in the end, which takes a third of a second
FORGOTTEN = "had to forget your picture"


class Network:
    """A parser that notes what it is asked for, and works only while `free`."""

    def __init__(self) -> None:
        self.parser, self.free, self.calls = tiny_parser(), threading.Event(), list[Any]()
        self._predict = self.parser.predict
        self.parser.predict = self._work  # type: ignore[method-assign]
        self.free.set()

    def _work(self, *arguments: Any, **options: Any) -> Any:
        self.calls.append(options)
        assert self.free.wait(60)
        return self._predict(*arguments, **options)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def address(folder: Path, network: Network) -> Iterator[str]:
    from utils.web import server  # gradio takes five seconds to import

    assert server.WAITING <= 32
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "WAITING", WAITING)
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        with served_page(folder, LIMITS, network.parser) as result:
            yield result


@pytest.fixture
def visitor(address: str) -> Visitor:
    return Visitor(address)


def put(visitor: Visitor, name: str = "anna.png") -> dict[str, Any]:
    """Upload a picture; return what a browser says of it."""
    [path] = json.loads(visitor.upload(encoded(drawn()), name).body)
    return file_data(path, orig_name=name)


def parsed_legend(visitor: Visitor, scales: list[float] | None = None) -> Any:
    """Upload and parse a picture; return the legend."""
    return result(visitor.call("parse_upload", [put(visitor), scales or [1.0], False]))[1]


def result(events: list[dict[str, Any]]) -> Any:
    [done] = [event for event in events if event["msg"] == "process_completed"]
    assert done["success"], done
    return done["output"]["data"]


def warnings(events: list[dict[str, Any]]) -> str:
    return " ".join(event["log"] for event in events if event["msg"] == "log")


# One queue


@pytest.mark.parametrize(
    "path", ["run/parse_upload", "api/parse_upload", "run/mask", "run/predict", "api/parse_again/"]
)
def test_calls_past_the_queue_are_refused(visitor: Visitor, network: Network, path: str) -> None:
    upload, calls = put(visitor), len(network.calls)
    number = visitor.functions()["parse_upload"]
    answer = visitor.post(f"/gradio_api/{path}", {"data": [upload, [1.0], True], "fn_index": number})
    assert answer.status == 403
    assert b"through its queue" in answer.body
    assert len(network.calls) == calls


def test_two_hundred_at_once_meet_one_bounded_queue_and_the_page_answers(address: str, network: Network) -> None:
    visitors = [Visitor(address) for _ in range(200)]
    upload, number = put(visitors[0]), visitors[0].functions()["parse_upload"]
    before, statuses = len(network.calls), []

    def join(one: Visitor) -> None:
        call = {"data": [upload, [1.0], False], "fn_index": number, "session_hash": one.session}
        statuses.append(one.post("/gradio_api/queue/join", call).status)

    network.free.clear()
    try:
        threads = [threading.Thread(target=join, args=[one]) for one in visitors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        start = time.monotonic()
        assert visitors[0].send("/config").status == 200
        assert time.monotonic() - start < 5
        assert len(network.calls) - before <= 1
    finally:
        network.free.set()
    assert len(statuses) == 200
    assert set(statuses) == {200, 503}
    assert statuses.count(200) <= WAITING + 1
    later = Visitor(address)
    wait_for(lambda: later.join("parse_upload", [upload, [1.0], False]).status == 200, "a free place")
    assert result(later.events())[1]["rows"]


# Options


def test_each_scale_counts_once(visitor: Visitor, network: Network) -> None:
    parsed_legend(visitor, [1.0] * 300 + [0.5] * 300)
    assert network.calls[-1]["scales"] == (0.5, 1.0)


@pytest.mark.parametrize("scales", [[40.0], [1.0, 0.001], ["1.0"], [[1.0]], "1", None, {"1": 1}])
def test_only_scales_on_offer_are_taken(visitor: Visitor, network: Network, scales: Any) -> None:
    upload, calls = put(visitor), len(network.calls)
    visitor.call("parse_upload", [upload, scales, True])
    assert len(network.calls) == calls


@pytest.mark.parametrize("legend", [[], "x", {"rows": 3, "shown": 4}, {"rows": [3], "shown": [[1]] * 9}, None])
def test_odd_legends_break_nothing(visitor: Visitor, legend: Any) -> None:
    parsed_legend(visitor)
    assert result(visitor.call("mask", [legend, 0.6]))[0]["path"].endswith("anna-mask.png")


def test_names_from_outside_become_names_on_the_disk(visitor: Visitor) -> None:
    upload = put(visitor) | {"orig_name": "../a\0\n/b\x1b<.png"}
    legend = result(visitor.call("parse_upload", [upload, [1.0], False]))[1]
    assert Path(result(visitor.call("mask", [legend, 0.6]))[0]["path"]).name == "b__-mask.png"


# Addresses


def test_the_page_fetches_nothing_for_strangers(visitor: Visitor) -> None:
    url = "http://203.0.113.1/a.png"
    assert visitor.send(f"/gradio_api/file={url}").status == 403
    said = str(visitor.call("parse_upload", [file_data(url), [1.0], True]))
    assert "fetches nothing" in said


@pytest.mark.parametrize("path", ["proxy=http://127.0.0.1/", "deep_link?session_hash=a", "file=/etc/hostname", "runs"])
def test_addresses_that_the_page_has_no_use_for_are_refused(visitor: Visitor, path: str) -> None:
    assert visitor.send(f"/gradio_api/{path}").status in (403, 404)


def test_long_calls_and_bodies_of_no_stated_length_are_refused(visitor: Visitor) -> None:
    assert visitor.post("/gradio_api/queue/join", {"data": ["x" * 300_000]}).status == 413
    assert visitor.send("/gradio_api/component_server", b"{}").status == 403
    assert status_of_unstated_length(visitor, "/gradio_api/queue/join") == 411


def status_of_unstated_length(visitor: Visitor, path: str) -> int:
    """Announce a body in chunks, and return the answer, which comes without waiting for them."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(visitor.address).netloc, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("POST", path)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        return connection.getresponse().status


# Bytes


def test_pictures_are_forgotten_oldest_first_with_a_sentence(address: str) -> None:
    first, second, third = (Visitor(address) for _ in range(3))
    legend = parsed_legend(first)
    assert parsed_legend(second)
    assert result(first.call("mask", [legend, 0.6]))[0]
    assert parsed_legend(third)
    assert result(second.call("mask", [legend, 0.6]))[0]
    assert FORGOTTEN in warnings(first.call("mask", [legend, 0.6]))
    assert FORGOTTEN in warnings(first.call("parse_again", [legend, [0.5], False]))
    assert "choose a picture first" in warnings(Visitor(address).call("mask", [None, 0.6]))


def test_a_session_has_one_download_of_a_kind_and_one_upload(visitor: Visitor, folder: Path) -> None:
    legend = parsed_legend(visitor)
    for _ in range(5):
        assert result(visitor.call("mask", [legend, 0.6]))[0]
        put_again = put(visitor, f"{visitor.session}-{_}.png")
        assert result(visitor.call("parse_upload", [put_again, [1.0], False]))[1]["rows"]
    assert len(list(folder.rglob(f"{visitor.session}-*.png"))) == 1 + 1  # and the mask of the last but one


def test_uploads_are_bounded_altogether_and_the_examples_stay(visitor: Visitor, folder: Path) -> None:
    examples = sorted(folder.glob("*.png"))
    assert len(examples) == 5
    fixed = sum(path.stat().st_size for path in examples)
    for number in range(20):
        assert visitor.upload(bytes([number]) * 250_000, "same.bin").status == 200
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert used - fixed <= LIMITS.disk_bytes
    assert sorted(folder.glob("*.png")) == examples
    assert len(list(folder.rglob("same.bin"))) > 1


def test_one_request_uploads_no_more_than_one_file_may_have(visitor: Visitor) -> None:
    assert visitor.upload(bytes(250_000)).status == 200
    assert visitor.upload(bytes(250_000), copies=2).status == 413
    assert visitor.upload(bytes(280_000)).status == 413


# The end


@pytest.mark.slow
def test_the_program_ends_while_the_network_works(tmp_path: Path) -> None:
    with served(tmp_path / "any.pth", tmp_path, script=("tests/support/app_busy.py",)) as address:
        visitor = Visitor(address)
        assert visitor.join("parse_upload", [put(visitor), [1.0], True]).status == 200
        wait_for(lambda: "working" in (tmp_path / "app.txt").read_text(), "the network's work")
        start = time.monotonic()
    assert time.monotonic() - start < 20
