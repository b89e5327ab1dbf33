"""Start scripts as processes of their own that need not import PyTorch first, which takes four seconds of a core.

`start` and `run` do what `subprocess.Popen` and `subprocess.run` do for `python SCRIPT ARGUMENTS`; `start_together` and
`run_together` do it for several processes that know of each other, as torchrun does where nothing crashes; `stand_in`
does it for what shell scripts and torchrun itself start.

This file run as a script is the process that has imported everything, has computed nothing yet, and forks at command.
"""

import atexit
import functools
import importlib
import json
import os
import runpy
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

ROOT = Path(__file__).parents[2]
FORKING = "TESTS_FORKING_PID"
"""The variable that tells stand-ins, and the processes of pytest-xdist, which process forks."""
PROGRAMS = ("train", "evaluate_multiscale", "predict", "app", "torch.distributed.run", "tests.support.tiny_parser")
# Newer versions of PyTorch import the last, in seconds, where deterministic algorithms are asked for.
IMPORTED = (*PROGRAMS, "torch._inductor.config")


class Started:
    """A process, with the part of `subprocess.Popen` that tests need; it leads a process group of its own."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="started-"))
        for name in ("stdout", "stderr", *order["outputs"]):
            (self.folder / name).touch()  # to be read whenever it has started
        (self.folder / "order").write_text(json.dumps(order))
        # The process that forks is asked in lines so short that those of several programs do not mix.
        with open(f"/proc/{forking_pid()}/fd/0", "w") as pipe:
            pipe.write(f"{self.folder}\n")
        wait_for((self.folder / "pid").exists, "the process", 60)
        self.pid = int((self.folder / "pid").read_text())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None as long as it runs."""
        if self.returncode is None and (self.folder / "status").exists():
            self.returncode = os.waitstatus_to_exitcode(int((self.folder / "status").read_text()))
        return self.returncode

    def wait(self, timeout: float = 120) -> int:
        """Wait for the end and return the exit status."""
        try:
            wait_for(lambda: self.poll() is not None, "the end of the process", timeout)
        except AssertionError:
            os.killpg(self.pid, signal.SIGKILL)
            raise
        return cast(int, self.returncode)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait for the end and return what it said, to standard output and to standard error."""
        self.wait(timeout)
        said = [(self.folder / name).read_text() for name in ("stdout", "stderr")]
        shutil.rmtree(self.folder)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        os.kill(self.pid, number)


def start(
    script: str | os.PathLike[str],
    arguments: Sequence[str | os.PathLike[str]] = (),
    *,
    cwd: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    output: Path | None = None,
    outputs: Sequence[str] = ("stdout", "stderr"),
    parent: int | None = None,
) -> Started:
    """Start `python SCRIPT ARGUMENTS` with variables beside those of this process; `output` is for all that it says,
    `outputs` are two files for what it says to standard output and to standard error. It takes `parent` for its parent,
    as trainings tell torchruns apart, or this process."""
    order = {
        "argv": [os.fspath(ROOT / script), *(os.fspath(argument) for argument in arguments)],
        "cwd": os.fspath(cwd or Path.cwd()),
        "parent": parent or os.getpid(),
        "environment": {**os.environ, **(environment or {})},
        "outputs": [str(output)] * 2 if output else outputs,
    }
    return Started(order)


def run(
    script: str | os.PathLike[str], arguments: Sequence[str | os.PathLike[str]] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python SCRIPT ARGUMENTS` to its end; the options are those of `start`."""
    return _ended([start(script, arguments, **options)], arguments)


def start_together(
    processes: int, script: str | os.PathLike[str], arguments: Sequence[str | os.PathLike[str]] = (), **options: Any
) -> list[Started]:
    """Start a script in processes that know of each other, with the variables that torchrun sets."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), **options.pop("environment", {})}
    shared |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    ranks = ({"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes))
    return [start(script, arguments, environment=shared | rank, **options) for rank in ranks]


def run_together(
    processes: int, script: str | os.PathLike[str], arguments: Sequence[str | os.PathLike[str]] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Do what `start_together` does, to the end: the largest exit status, and what all of them said."""
    return _ended(start_together(processes, script, arguments, **options), arguments)


def _ended(
    processes: Sequence[Started], arguments: Sequence[str | os.PathLike[str]]
) -> subprocess.CompletedProcess[str]:
    said = [process.communicate() for process in processes]
    status = max((process.poll() or 0 for process in processes), key=abs)
    return subprocess.CompletedProcess(
        list(arguments), status, *("".join(output) for output in zip(*said, strict=True))
    )


def stand_in(folder: Path) -> dict[str, str]:
    """Return variables that let shell scripts of the project, and torchrun, start programs without importing PyTorch.

    The Python that they name is a file in `folder`.
    """
    python = folder / "python"
    program = shlex.join([sys.executable, "-I", "-S", str(Path(__file__).with_name("python.py"))])
    python.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    python.chmod(0o755)
    return {"PYTHON": str(python), "PYTHON_EXEC": str(python), FORKING: str(forking_pid())}


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """Return what a condition gives as soon as it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


def free_port() -> int:
    """Return a port of this computer that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def heed_ctrl_c() -> None:
    """Let this process be interrupted; for `preexec_fn`. Those of tests in a shell's background would ignore it too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@functools.cache
def forking_pid() -> int:
    """Return the process that forks: the one that a variable names, else one that lives as long as this process."""
    if FORKING in os.environ:
        return int(os.environ[FORKING])
    process = subprocess.Popen([sys.executable, __file__], cwd=ROOT, stdin=subprocess.PIPE)
    assert process.stdin is not None
    atexit.register(process.stdin.close)
    return process.pid


def _fork_at_command(commands: IO[str]) -> dict[str, Any] | None:
    """Fork for each command; return it in the process that is to be the script, and None at the end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the scripts
    for line in commands:
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        folder = Path(line.rstrip("\n"))
        pid = os.fork()
        if not pid:
            return {"folder": folder, **json.loads((folder / "order").read_text())}
        _write(folder / "pid", pid)
        _write(folder / "status", os.waitpid(pid, 0)[1])
        os._exit(0)
    return None


def _write(path: Path, number: int) -> None:
    path.with_suffix(".new").write_text(str(number))
    path.with_suffix(".new").rename(path)


def _become(command: dict[str, Any]) -> None:
    """Be what `python SCRIPT ARGUMENTS` would be."""
    os.setsid()
    heed_ctrl_c()
    outputs = (command["folder"] / name for name in command["outputs"])
    for number, path in enumerate([os.devnull, *outputs]):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    # Those of before may have had files where these have pipes, in which nobody can seek.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    # Of this process alone: a DataLoader's worker ends when its own parent is no longer the same.
    this, own_parent = os.getpid(), os.getppid
    os.getppid = lambda: command["parent"] if os.getpid() == this else own_parent()
    os.chdir(command["cwd"])
    os.environ.clear()
    os.environ.update(command["environment"])
    tempfile.tempdir = None  # to be found anew
    sys.argv[:] = command["argv"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    for name in IMPORTED:
        importlib.import_module(name)
    order = _fork_at_command(sys.stdin)
    if order is not None:
        _become(order)
