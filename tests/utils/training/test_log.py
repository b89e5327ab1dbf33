"""What a run writes down of its figures."""

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from utils.files import append_line
from utils.training.folder import RunFolder
from utils.training.log import RunLog


def test_a_figure_that_cannot_be_measured_is_null_and_absent_from_tensorboard(tmp_path: Path) -> None:
    with RunLog(RunFolder(tmp_path, "lip")) as log:
        log.scalars("validation", 6, 1, {"mean_iou": 95.0, "iou/Glove": None})
        log.scalars("validation", 12, 2, {"mean_iou": 96.0, "iou/Glove": 0.0})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iou/Glove"] for line in lines] == [None, 0.0]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("validation/iou/Glove")] == [(12, 0.0)]
    assert [event.step for event in board.Scalars("validation/mean_iou")] == [6, 12]


def test_half_a_line_of_a_killed_run_is_closed_before_the_next(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"kind": "st')
    append_line(tmp_path / "log.jsonl", b'{"kind": "step"}')
    assert (tmp_path / "log.jsonl").read_text() == '{"kind": "st\n{"kind": "step"}\n'


def test_tensorboard_that_cannot_be_written_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path, "lip")
    with RunLog(folder) as log:
        folder.claim()
        (tmp_path / "tensorboard").write_text("no folder")
        for step in (1, 2):
            log.scalars("step", step, 1, {"loss": 3.0})
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert capsys.readouterr().err.count("the training goes on without TensorBoard") == 1


def test_a_log_that_cannot_be_written_is_a_failure_that_names_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "lip")
    with RunLog(folder) as log:
        folder.claim()
        (tmp_path / "log.jsonl").mkdir()
        log.scalars("step", 1, 1, {"loss": 3.0})
    with pytest.raises(OSError, match=r"log\.jsonl"):
        log.raise_failure()
