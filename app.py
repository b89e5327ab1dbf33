"""A web page to try a checkpoint on pictures: `python app.py --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import os
import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from PIL import Image

from dataset.command import CommandError, run_command
from dataset.files import LARGEST_FILE
from dataset.options import Number, OptionParser, Whole
from utils import cli
from utils.inference import HumanParser
from utils.inference.people import PersonDetector
from utils.web.upload import Limits

PORT = Whole(1, 65535)
MEGABYTES = Number("from 0.001 to 2047; larger files are not read", 0.001, LARGEST_FILE // 2**20)
SIDE = Whole(1, 65535, "JPEG has no longer sides")


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(
        description="Serve a web page that parses the people in pictures.", formatter_class=cli.HelpFormatter
    )
    add = parser.add_argument
    cli.add_checkpoint(parser)
    cli.add_device_and_amp(parser, for_prediction=True)
    cli.add_engine(parser, deterministic=False)
    add("--input-size", type=cli.size_option, metavar="H,W", help="crop (default: the checkpoint's, else 473,473)")
    add("--dataset", metavar="NAME", help="whose classes these are, where the checkpoint does not say")
    cli.add_people(parser.add_argument_group("several people", "The page finds them where its visitor asks for it."))
    add("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets other computers in")
    add("--port", type=PORT, default=7860, help="port to listen on")
    add("--max-upload-mb", type=MEGABYTES, default=Limits().upload_mb, metavar="MB", help="largest file taken")
    add(
        "--max-picture-side", type=SIDE, default=Limits().picture_side, metavar="PIXELS",
        help="longest side of a picture taken",
    )  # fmt: skip
    return cli.parse_options(parser, arguments)


def run(options: argparse.Namespace) -> None:
    """Load the network and serve the page until Ctrl-C.

    Raises CommandError, ValueError or OSError where that is impossible.
    """
    if find_spec("gradio") is None:
        raise CommandError('the page needs gradio: pip install -e ".[app]"')
    parser = HumanParser.from_checkpoint(
        options.checkpoint,
        options.device,
        options.amp,
        engine=options.engine,
        input_size=options.input_size,
        description=options.dataset,
        deterministic=options.deterministic,
    )
    detector = PersonDetector.load(options.people_weights, parser.device) if options.people else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidies up, as Ctrl-C does
    limits = Limits(options.max_upload_mb, options.max_picture_side)
    # The page refuses pictures by their own header; Pillow's limit of pixels must not be lower.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, limits.picture_side**2)
    with tempfile.TemporaryDirectory(prefix="csenet-page-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # uploads are gone when the program ends
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from utils.web.page import WebPage, draw_examples  # here, because gradio is an extra
        from utils.web.server import launch

        page = WebPage(parser, Path(options.checkpoint).name, limits, detector)
        launch(page, page.build(draw_examples(Path(folder))), options.host, options.port)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parse_options(arguments)
    return run_command("app.py", lambda: run(options), interrupted="Ended.")


def leave(status: int) -> NoReturn:
    """End the program at once; sys.exit would wait for the threads in which the network may work for minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main())
