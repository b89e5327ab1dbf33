"""Progress on something that is no terminal: whole lines, not too many."""

import pytest

from utils import progress as module
from utils.progress import Progress


def test_lines_tell_rate_time_left_and_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    with Progress("epoch 1/2", 100, "images", done=20) as shown:
        for _ in range(16):
            clock[0] += 2.0
            shown.advance(5, "loss 1.5")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "epoch 1/2: 45/100 images, 2.5 images/s, 00:22 left, loss 1.5",
        "epoch 1/2: 70/100 images, 2.5 images/s, 00:12 left, loss 1.5",
        "epoch 1/2: 95/100 images, 2.5 images/s, 00:02 left, loss 1.5",
        "epoch 1/2: 100/100 images, 2.5 images/s, took 00:32, loss 1.5",
    ]


def test_a_failure_is_not_reported_as_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), Progress("work", 2, "steps"):
        raise RuntimeError
    assert capsys.readouterr().err == ""


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet, lines in ((True, 0), (False, 1)):
        with Progress("work", 2, "items", quiet=quiet) as shown:
            shown.advance(2)
        assert capsys.readouterr().err.count("work: 2/2 items, ") == lines
