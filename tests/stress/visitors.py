"""Many visitors of the page at once: `python tests/stress/visitors.py [VISITORS]` serves it and attacks it over HTTP.

With a tiny network. Prints what was tried, what was answered and how long that took, and the memory of the server's
process; ends with status 1 where the page does not answer afterwards.
"""

import collections
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.drawn import encoded
from tests.support.page_visitor import Visitor, file_data
from tests.support.predicting import person
from tests.support.started import free_port

SERVER = """
import sys; sys.path.insert(0, {root!r})
import app
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser
HumanParser.from_checkpoint = lambda *_, **__: tiny_parser()
app.leave(app.main(["--checkpoint", "tiny.pth", "--device", "cpu", "--port", "{port}"]))
"""


def memory_mb(process: int, field: str) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def answers(attempts: list[Any]) -> str:
    """Make all attempts at once; return how often each status was answered."""

    def status(attempt: Any) -> str:
        try:
            return str(attempt().status)
        except OSError as error:
            return type(error).__name__

    with ThreadPoolExecutor(len(attempts)) as pool:
        counts = collections.Counter(pool.map(status, attempts))
    return ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))


def attacks(address: str, visitors: int, folder: Path) -> dict[str, list[Any]]:
    """Return what is tried at once, by what it is."""
    people = [Visitor(address) for _ in range(visitors)]
    picture = encoded(person(1, (1600, 1200)), "JPEG")
    own = file_data(people[0].upload(picture, "anna.jpg").body.decode().strip('[]"'), orig_name="anna.jpg")
    number = people[0].functions()["parse_upload"]
    outside, pipe = folder / "outside.jpg", folder / "pipe.jpg"
    outside.write_bytes(picture)
    os.mkfifo(pipe)

    def call(path: str, file: Any, scales: list[float]) -> list[Any]:
        def one(visitor: Visitor) -> Any:
            content = {"data": [file, scales, True], "fn_index": number, "session_hash": visitor.session}
            return lambda: visitor.post(f"/gradio_api/{path}", content)

        return [one(visitor) for visitor in people]

    return {
        "calls past the queue (run)": call("run/parse_upload", own, [1.0]),
        "calls past the queue (api)": call("api/parse_upload", {"path": str(outside)}, [1.0]),
        "calls through the queue": call("queue/join", own, [1.0]),
        "600 repeated scales": call("queue/join", own, [1.0] * 600),
        "a picture outside the folder": call("queue/join", file_data(outside), [1.0]),
        "a FIFO": call("queue/join", file_data(pipe), [1.0]),
        "uploads of 2 MB": [lambda one=one: one.upload(os.urandom(2**21), "noise.jpg") for one in people],
        "files of the server": [lambda one=one: one.send("/gradio_api/file=/etc/hostname") for one in people],
    }


def main(visitors: int = 200) -> int:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    program = SERVER.format(root=str(Path(__file__).parents[2]), port=port)
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
        try:
            for _ in range(240):
                try:
                    Visitor(address).functions()
                    break
                except OSError:
                    time.sleep(0.5)
            print(f"{'before':32} {memory_mb(server.pid, 'VmRSS'):6.0f} MB")
            for name, attempts in attacks(address, visitors, Path(folder)).items():
                start = time.monotonic()
                text = answers(attempts)
                seconds, peak = time.monotonic() - start, memory_mb(server.pid, "VmHWM")
                print(f"{name:32} {peak:6.0f} MB at most, {seconds:5.1f} s: {text}", flush=True)
            start = time.monotonic()
            alive = Visitor(address).send("/config").status == 200
            print(f"the page answers: {alive}, after {time.monotonic() - start:.2f} s")
        finally:
            server.terminate()
            server.wait(30)
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
