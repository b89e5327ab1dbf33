"""What a run writes down of its figures."""

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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
