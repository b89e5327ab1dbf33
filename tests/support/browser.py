"""The web page in headless Chromium, as a person uses it."""

import importlib.util
import json
import shutil
import signal
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support import started
from tests.support.started import free_port, wait_for

ROOT = Path(__file__).parents[2]
FLAGS = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-sync "
    "disable-component-update disable-dev-shm-usage hide-scrollbars"
)
READ_CANVAS = """const canvas = document.querySelector("#view canvas");
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
return [canvas.height, canvas.width, Array.from(data)];"""


def missing_programs() -> list[str]:
    """Return what has to be installed before the page can be tried in a browser."""
    packages = [name for name in ("gradio", "selenium") if importlib.util.find_spec(name) is None]
    return packages + [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]


@contextmanager
def served(
    checkpoint: Path, folder: Path, options: Sequence[str] = (), script: Sequence[str] = ("app.py",)
) -> Iterator[str]:
    """Serve the page by `app.py`, or a script like it, as a process of its own, and give its address.

    Its output goes to `app.txt` in the folder, its temporary files below it. It must end well when it is told to,
    without a traceback, and leave no files.
    """
    port = free_port()
    log, temporary = folder / "app.txt", folder / "temporary"
    temporary.mkdir()
    arguments = [*script[1:], "--checkpoint", str(checkpoint), "--port", str(port), *options]
    process = started.start(script[0], arguments, environment={"TMPDIR": str(temporary)}, output=log)
    try:
        wait_for(lambda: "page is at" in log.read_text() or process.poll() is not None, "the server", 180)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(30)
    assert "Traceback" not in log.read_text()
    assert process.poll() == 0
    assert list(temporary.glob("csenet-page-*")) == []


@contextmanager
def chromium(profile: Path, size: tuple[int, int] = (1280, 1100)) -> Iterator[Any]:
    """Start a Chromium that can reach this computer only, and records what it asks for; `size` is (width, height)."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in FLAGS.split():
        options.add_argument(f"--{flag}")
    options.add_argument(f"--window-size={size[0]},{size[1]}")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which("chromedriver"))))
    try:
        yield driver
    finally:
        driver.quit()


class Visit:
    """One visit to the page; downloads go to a folder."""

    def __init__(self, driver: Any, address: str, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads
        self._asked: list[str] = []
        driver.get_log("performance")
        driver.get_log("browser")
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        driver.get(address)
        wait_for(lambda: self.all("#legend .switches"), "the page")

    def all(self, selector: str) -> Any:
        """Return the elements of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        """Return the first element of a CSS selector, waiting for it."""
        return wait_for(lambda: self.all(selector), selector)[0]

    def click(self, selector: str) -> None:
        """Click, wherever the element is on the page."""
        self.driver.execute_script("arguments[0].click()", self.one(selector))

    def upload(self, path: Path) -> None:
        """Choose a file, in the place of the one before."""
        if not self.all("#upload input[type=file]"):
            self.click("#upload button[aria-label=Clear]")
        self.one("#upload input[type=file]").send_keys(str(path))

    def number(self) -> int:
        """Return which parsing is on show, 0 for none."""
        figures = self.all("#view figure[data-number]")
        return int(figures[0].get_attribute("data-number")) if figures and figures[0].is_displayed() else 0

    def wait_for_scene(self, after: int = 0) -> None:
        """Wait for an overlay later than number `after`."""
        wait_for(lambda: self.number() > after, "the overlay")

    def painted(self) -> NDArray[np.uint8]:
        """Return what is painted over the picture, (H, W, 4)."""
        height, width, values = self.driver.execute_script(READ_CANVAS)
        return np.array(values, np.uint8).reshape(height, width, 4)

    def hover(self, row: int, column: int) -> str:
        """Move the pointer over a pixel of the class map, and return the name that appears."""
        from selenium.webdriver.common.action_chains import ActionChains

        canvas = self.one("#view canvas")
        height, width = self.driver.execute_script("return [arguments[0].height, arguments[0].width]", canvas)
        size = canvas.size
        x = (column + 0.5) * size["width"] / width - size["width"] / 2
        y = (row + 0.5) * size["height"] / height - size["height"] / 2
        ActionChains(self.driver, duration=0).move_to_element_with_offset(canvas, round(x), round(y)).perform()
        return str(self.one("#view .class-label").text)

    def download(self, kind: str, name: str) -> Path:
        """Click a download button and return the file, which must be called `name`."""
        self.click(f"#{kind}")
        wait_for((self.downloads / name).is_file, f"the download {name}")
        return self.downloads / name

    def messages(self) -> str:
        """Return the words of pop-up messages and of the note in the overlay's place."""
        return " ".join(element.text for element in self.all(".toast-body, #view .note"))

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        new = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        self._asked += new
        return new

    def hosts(self) -> set[str | None]:
        """Return the hosts that were asked for anything."""
        self.requests()
        return {urllib.parse.urlsplit(url).hostname for url in self._asked if not url.startswith(("data:", "blob:"))}

    def errors(self) -> list[str]:
        """Return what the page's scripts complained about."""
        # Gradio's own code prints much more: it asks for the progress of finished uploads, and aborts its streams.
        own = ("js_on_load", "watch callback", "evaluating template")
        log = [entry for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        return [
            entry["message"]
            for entry in log
            if entry["source"] == "javascript" or any(words in entry["message"] for words in own)
        ]
