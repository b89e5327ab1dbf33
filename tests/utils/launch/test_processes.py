"""Two processes as the run scripts start them: mistakes are said once and end the run, crashes start it again."""

import inspect
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch.distributed.launcher import api

from utils.launch import processes

ROOT = Path(__file__).parents[3]
Launch = Callable[..., int]

# Each process adds a letter to its own file, so that one sees how often it was started.
SCRIPT = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from dataset import command
from dataset.command import CommandError, LostProcessError, run_command

command.SECONDS_FOR_THE_FIRST = 1.5
rank, again = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"] != "0"
with open(Path(__file__).parent / f"starts_{{rank}}", "a") as file:
    file.write("x")

def work():
    while not all((Path(__file__).parent / f"starts_{{other}}").exists() for other in (0, 1)):
        time.sleep(0.02)
    BODY

sys.exit(run_command("train.py", work))
"""


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Run a body of `work` in two processes; return the exit status of the whole."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(api, "LocalElasticAgent", api.LocalElasticAgent)  # to be set back
    # torchrun asks time and again which function called: for the whole stack, with lines of source, that takes seconds.
    monkeypatch.setattr(inspect, "stack", lambda: inspect.getouterframes(sys._getframe(1), context=0))

    def run(body: str, *, restarts: int = 3) -> int:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.replace("BODY", body))
        options = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
        return processes.main([*options, "--monitor-interval", "0.1", str(script)])

    yield run
    logging.disable(logging.NOTSET)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def starts(folder: Path) -> list[int]:
    return [len((folder / f"starts_{rank}").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(("ranks", "error"), [("01", "ValueError"), ("0", "CommandError"), ("1", "CommandError")])
def test_a_mistake_is_said_once_and_ends_all(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str], ranks: str, error: str
) -> None:
    assert launch(f'if rank in "{ranks}": raise {error}("the loss is not finite")\n    time.sleep(100)') == 2
    assert capfd.readouterr().err == "train.py: the loss is not finite\n"
    assert starts(tmp_path) == [1, 1]


@pytest.mark.parametrize(
    ("crash", "said"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "torchrun: process 1 was ended by SIGKILL, as Linux does where"),
        ('raise LostProcessError("a worker is gone")', "train.py: a worker is gone\ntorchrun: process 1 crashed;"),
        ("os._exit(1)", "torchrun: process 1 crashed; all start again, from the last snapshot if there is one (3 rest"),
    ],
)
def test_a_crash_starts_all_again(
    launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str], crash: str, said: str
) -> None:
    assert launch(f'if rank == "1" and not again: {crash}\n    time.sleep(2 * (not again))') == 0
    error = capfd.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == said.count("\n") + 1
    assert starts(tmp_path) == [2, 2]


def test_the_last_crash_is_told(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert launch('if rank == "0": os.kill(os.getpid(), signal.SIGSEGV)\n    time.sleep(100)', restarts=0) == 128 + 11
    assert capfd.readouterr().err == "torchrun: process 0 was ended by SIGSEGV\n"
    assert starts(tmp_path) == [1, 1]


def test_a_run_that_was_stopped_is_not_started_again(launch: Launch, tmp_path: Path) -> None:
    assert launch("return 143") == 143
    assert starts(tmp_path) == [1, 1]


def test_ctrl_c_is_one_line(launch: Launch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A terminal sends it to the processes too, and torchrun passes it on once more."""
    body = 'if rank == "0": time.sleep(1); [os.kill(pid, signal.SIGINT) for pid in (os.getpid(), os.getppid())]'
    assert launch(f"{body}\n    time.sleep(100)") == 130
    assert capfd.readouterr().err == "\nInterrupted.\n"
    assert starts(tmp_path) == [1, 1]
