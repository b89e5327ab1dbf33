"""Requests to stop, as terminals, clusters and torchrun send them."""

import io
import os
import signal
import sys

import pytest

from utils.training.stopping import StopRequest


def test_the_first_signal_asks_and_the_second_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
        assert stop.exit_status == 143
        with pytest.raises(SystemExit) as end:
            os.kill(os.getpid(), signal.SIGTERM)
        assert end.value.code == 143


def test_torchrun_may_repeat_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "csenet")
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == signal.SIGTERM


class _Closed(io.StringIO):
    """The end of a pipe that nobody reads."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_nobody_has_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `train.py 2>&1 | tee log` Ctrl-C ends tee first."""
    monkeypatch.setattr(sys, "stderr", _Closed())
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
