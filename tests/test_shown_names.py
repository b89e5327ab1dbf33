"""Names from outside are shown, not obeyed: an escape sequence in a file's name cannot reach a terminal."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dataset.command import run_command
from dataset.files import show
from tests.support.predicting import Run

ROOT = Path(__file__).parents[1]
EVIL = "\x1b[2J\u202e"
OWN_WAY = {"dataset/files.py", "dataset/interrupts.py", "utils/launch/requirements.py"}
"""`show` itself, what is there before everything else, and what a shell script reads."""


def test_everything_is_printed_by_show() -> None:
    files = [path for folder in ("dataset", "utils", "networks") for path in (ROOT / folder).rglob("*.py")]
    for path in (*files, *ROOT.glob("*.py")):
        if path.relative_to(ROOT).as_posix() in OWN_WAY:
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        printing = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, (path, printing)


def test_names_of_pictures_and_folders_are_shown(run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / f"in{EVIL}"
    folder.mkdir()
    Image.new("RGB", (20, 30)).save(folder / f"good{EVIL}.png")
    (folder / f"broken{EVIL}\udcff.png").write_bytes(b"no picture")
    (folder / f"raw{EVIL}.cr2").touch()
    assert run("--input", str(folder)) == 1
    out, error = capfd.readouterr()
    assert not set(EVIL[0] + EVIL[-1]) & set(out + error)
    assert r"\x1b[2J\u202e" in error


def test_logged_names_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import logging; from dataset.command import run_command\n"
        "run_command('x', lambda: logging.getLogger('a').warning('%s', 'weights\\x1b[2J.pth'))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == "weights\\x1b[2J.pth\n"


def test_a_terminal_that_lacks_a_character_gets_its_escape() -> None:
    script = (
        "from dataset.command import run_command; from dataset.files import show\nrun_command('x', lambda: show('头'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("\\u5934\n", "")


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("x", lambda: show("a\n\tb\x07")) == 0
    assert capsys.readouterr().out == "a\n\tb\\x07\n"
