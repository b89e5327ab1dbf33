"""Requests to stop, as terminals, clusters and torchrun send them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.training.stopping import StopRequest

ROOT = Path(__file__).parents[3]


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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_every_signal_of_a_scheduler_asks(name: str, request: pytest.FixtureRequest) -> None:
    """And after it SIGTERM, or the same again, does not yet end the process."""
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"there is no {name} here")
    before = signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored, which a run respects
    request.addfinalizer(lambda: signal.signal(number, before))
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.exit_status == 128 + number
        if name not in ("SIGTERM", "SIGINT"):
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == number


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")
def test_what_nohup_has_switched_off_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.signal is None
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_may_come_while_something_is_printed() -> None:
    """Python refuses to print inside a print to the same stream; a run would end with that error."""
    script = (
        "import os, signal, sys, io; from utils.training.stopping import StopRequest\n"
        "class Raw(io.RawIOBase):\n"
        "    def writable(self): return True\n"
        "    def fileno(self): return 2\n"
        "    def write(self, data): os.kill(os.getpid(), signal.SIGTERM); return len(data)\n"
        "with StopRequest() as stop:\n"
        "    sys.stderr = io.TextIOWrapper(io.BufferedWriter(Raw()))\n"
        "    print('progress', file=sys.stderr, flush=True)\n"
        "    assert stop.signal\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "\nSIGTERM: stopping after this step ...\n")


def test_nobody_has_to_listen() -> None:
    """In `train.py 2>&1 | tee log` Ctrl-C ends tee first."""
    script = (
        "import os, signal; from utils.training.stopping import StopRequest\n"
        "with StopRequest() as stop: os.kill(os.getpid(), signal.SIGINT)\n"
        "os._exit(stop.signal)"
    )
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, stdout=write, stderr=write)
    assert done.returncode == signal.SIGINT
