"""Memory against pictures: `python tests/stress/many_pictures.py [PICTURES]` parses so many in one run of predict.py.

With a tiny network, so that reading, writing and bookkeeping are what is measured. Prints resident memory every 200
pictures, and ends with status 1 where it grows by more than 50 MB after the first tenth.
"""

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

import predict
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser

MOST_GROWTH = 50.0
SIZE = (480, 640)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main(pictures: int = 2000) -> int:
    parser = tiny_parser()
    HumanParser.from_checkpoint = lambda *_, **__: parser  # type: ignore[method-assign]
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        source, results = Path(folder, "in"), Path(folder, "out")
        source.mkdir()
        for number in range(pictures):
            picture = random.integers(0, 256, (15, 20, 3), np.uint8)
            Image.fromarray(picture).resize(SIZE[::-1]).save(source / f"{number:05d}.jpg")
        options = ["--checkpoint", "tiny", "--input", str(source), "--output", str(results), "--no-mirror", "--overlay"]
        seen: list[tuple[int, float]] = []
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.05):
                done = len(list((results / "masks").glob("*.png"))) if results.exists() else 0
                if done >= (len(seen) + 1) * pictures // 10:
                    seen.append((done, resident_mb()))
                    print(f"{done:6d} pictures  {seen[-1][1]:7.0f} MB", flush=True)

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = predict.main([*options, "--device", "cpu"])
        ended.set()
        watcher.join()
        growth = seen[-1][1] - seen[0][1]
        print(f"status {status}, {growth:+.0f} MB from {seen[0][0]} to {seen[-1][0]} pictures")
    return int(status != 0 or growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
