"""Make the picture in docs/page.md: `python -m tests.support.app_screenshot CHECKPOINT docs/images/app.png`."""

import argparse
import base64
import io
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.support.browser import Visit, chromium, served

# What is below it, in pixels of the page, is left out of the picture.
HEIGHT = 930


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--width", type=int, default=1280, help="of the window (default: 1280)")
    parser.add_argument("--example", type=int, default=0, help="which of the examples is shown (default: 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = (options.width, HEIGHT)
        with served(options.checkpoint, Path(folder)) as address, chromium(Path(folder, "profile"), size) as driver:
            data = photograph(Visit(driver, address, Path(folder)), options.width, options.example)
    # A palette, well chosen, is enough for a picture of a page, and makes the file a third as large.
    options.output.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    colours = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2)
    picture.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(options.output, optimize=True)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


def photograph(visit: Visit, width: int, example: int) -> bytes:
    """Return the page with a parsed example, the pointer on the face or what is in its place, as a PNG."""
    visit.one("#examples .gallery-item")
    visit.all("#examples .gallery-item")[example].click()
    visit.wait_for_scene()
    height, columns = visit.painted().shape[:2]
    visit.hover(round(0.18 * height), columns // 2)
    time.sleep(0.5)
    clip = {"x": 0, "y": 0, "width": width, "height": HEIGHT, "scale": 1}
    options = {"clip": clip, "captureBeyondViewport": True}
    return base64.b64decode(visit.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


if __name__ == "__main__":
    main()
