"""`app.py` with a tiny network that works for minutes on every picture."""

import time
from typing import Any

import app
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser


def busy_parser(*_: Any, **__: Any) -> HumanParser:
    def work(*_: Any, **__: Any) -> Any:
        print("working", flush=True)
        time.sleep(300)

    parser = tiny_parser()
    parser.predict = work  # type: ignore[method-assign]
    return parser


if __name__ == "__main__":
    HumanParser.from_checkpoint = busy_parser  # type: ignore[method-assign]
    app.leave(app.main())
