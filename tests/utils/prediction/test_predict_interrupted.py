"""predict.py interrupted: by Ctrl-C or a kill, and continued by the same command."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import started
from tests.support.predicting import Run, mask, save, written
from utils.inference import HumanParser

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_continues(
    run: Run, parser: HumanParser, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: signal.Signals
) -> None:
    for number in range(12):
        save(tmp_path / f"in/{number:02}.png", number)
    arguments = ["--input", "in", "--overlay", "--json", "--batch-size", "1"]
    process = started.start(
        "tests/support/predict_tiny.py",
        ["--checkpoint", "tiny", "--output", "out", *arguments],
        cwd=tmp_path,
        environment={"BATCH_SECONDS": "0.3"},
    )
    record = tmp_path / "out/predictions.jsonl"  # has a line for each picture whose results are whole
    started.wait_for(lambda: record.exists() and record.read_text().count("\n") >= 2, "two results", 120)
    process.send_signal(kind)
    _, error = process.communicate()
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL)
    if kind == signal.SIGINT:
        assert error.endswith("Interrupted. Finished results are kept; the same command continues from here.\n")
        assert "Traceback" not in error
    finished = written(tmp_path / "out/json")
    assert 1 <= len([name for name in finished if not name.startswith(".")]) < 12
    assert run(*arguments) == 0
    assert "had been done before" in capsys.readouterr().out
    for number in range(12):
        expected = parser.predict(tmp_path / f"in/{number:02}.png")
        np.testing.assert_array_equal(mask(tmp_path / f"out/masks/{number:02}.png"), expected)
        json.loads((tmp_path / f"out/json/{number:02}.json").read_text())
        with Image.open(tmp_path / f"out/overlay/{number:02}.jpg") as overlay:
            overlay.load()
