"""Ctrl-C while a program is still importing: one line and status 130, at every entry point."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import started

ROOT = Path(__file__).parents[1]
PROGRAMS = [
    *(path.name for path in sorted(ROOT.glob("*.py")) if "__main__" in path.read_text(encoding="utf-8")),
    "utils/launch/processes.py",
    *(
        f"-m dataset.{path.stem}"
        for path in sorted((ROOT / "dataset").glob("*.py"))
        if "__main__" in path.read_text(encoding="utf-8")
    ),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_during_the_imports_is_one_line(program: str, tmp_path: Path) -> None:
    """The first of these packages that is imported sends it."""
    for name in ("torch", "numpy", "PIL", "cv2"):
        (tmp_path / f"{name}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, *program.split(), "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        preexec_fn=started.heed_ctrl_c,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\nInterrupted.\n")


def test_a_program_in_the_background_ignores_it_as_before() -> None:
    """A shell's `&`, and nohup, have it ignored."""
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from dataset.interrupts import end_at_once_on_ctrl_c; end_at_once_on_ctrl_c()\n"
        "from dataset.command import run_command\n"
        "run_command('x', lambda: signal.raise_signal(signal.SIGINT)); print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("goes on\n", "")


def test_what_is_tidied_up_after_it_is_not_interrupted_by_a_second_one_under_torchrun() -> None:
    script = (
        # As a terminal leaves it; what is started in the background inherits that it is ignored.
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dataset.interrupts import end_at_once_on_ctrl_c; end_at_once_on_ctrl_c()\n"
        "from dataset.command import run_command\n"
        "def work():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    finally:\n"
        "        signal.raise_signal(signal.SIGINT); print('tidied up')\n"
        "raise SystemExit(run_command('x', work))"
    )
    for torchrun, tidied in (({"TORCHELASTIC_RUN_ID": "1"}, "tidied up\n"), ({}, "")):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | torchrun,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, tidied, "\nInterrupted.\n")
