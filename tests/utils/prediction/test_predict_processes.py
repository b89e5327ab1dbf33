"""predict.py in several processes: every input is parsed once, one of them speaks, and all end with one status."""

import json
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support import started
from tests.support.predicting import Run, make_video, save, written
from utils.prediction.share import Share

PICTURES = 7
SCRIPT = "tests/support/predict_tiny.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(PICTURES):
        save(tmp_path / f"in/{number}.png", seed=number)
    make_video(tmp_path / "in/clip.mp4", 3)
    return tmp_path


def arguments(folder: Path, *options: str) -> list[str]:
    paths = ["--input", str(folder / "in"), "--output", str(folder / "out")]
    return ["--checkpoint", "tiny", *paths, "--device", "cpu", *options]


def masks(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out/masks").glob("*.png")}


def inputs_recorded(folder: Path) -> Counter[str]:
    """Return how often each input has been noted as parsed, which is after its results were written."""
    record = folder / "out/predictions.jsonl"
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    return Counter(Path(line["input"]).name for line in lines if "sha256" in line)


@pytest.mark.slow
def test_two_processes_parse_each_input_once_and_tell_broken_ones_together(folder: Path, run: Run) -> None:
    (folder / "in/broken.png").write_bytes(b"no picture")
    (folder / "in/damaged.mp4").write_bytes(b"no video")
    two = started.run_together(2, SCRIPT, arguments(folder))
    assert two.returncode == 1
    assert two.stdout.count("8 of 10 inputs parsed") == 1
    assert two.stderr.count("2 could not be read") == 1
    assert set(inputs_recorded(folder).values()) == {1}
    assert len(inputs_recorded(folder)) == PICTURES + 1
    shared = masks(folder)
    assert run("--input", "in", "--overwrite") == 1
    assert masks(folder) == shared


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_another_number_of_processes(
    folder: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = {"BATCH_SECONDS": "1.5"}
    processes = started.start_together(2, SCRIPT, arguments(folder, "--batch-size", "1"), environment=slow)
    started.wait_for(lambda: len(inputs_recorded(folder)) >= 2, "two results", 60)
    for process in processes:  # as torchrun does
        process.send_signal(signal.SIGTERM)
    assert 0 not in [process.wait() for process in processes]
    done = [folder / "out/masks" / name for name in inputs_recorded(folder)]
    before = {path: path.stat().st_mtime_ns for path in done}
    assert 2 <= len(before) < PICTURES
    assert run("--input", "in") == 0
    assert f"{len(before)} had been done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert written(folder / "out") == {f"masks/{number}.png" for number in range(PICTURES)} | {"overlay/clip.mp4"}
    assert run("--input", "in") == 0
    assert "All results (8)" in capsys.readouterr().out


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_shares_are_even_and_leave_nothing_out(processes: int) -> None:
    shares = [Share(rank, processes, processes, None).of(range(20)) for rank in range(processes)]
    assert sorted(item for share in shares for item in share) == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
