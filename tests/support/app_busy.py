"""`app.py` with a tiny network that works for minutes on every picture."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import app
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser


def busy_parser(*_: Any, **__: Any) -> HumanParser:
    def work(*_: Any, **__: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:  # as the network does; Python's own end waits for such threads
            print("working", flush=True)
            pool.submit(time.sleep, 300).result()

    parser = tiny_parser()
    parser.predict = work  # type: ignore[method-assign]
    return parser


if __name__ == "__main__":
    HumanParser.from_checkpoint = busy_parser  # type: ignore[method-assign]
    app.leave(app.main())
