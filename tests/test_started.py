"""The processes that tests start are what `python SCRIPT` would be."""

import os
from pathlib import Path

import pytest

from tests.support import started


def test_what_is_not_flushed_is_not_said_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no test would notice that a program keeps its progress to itself."""
    (tmp_path / "script.py").write_text(
        "import os, sys, time\n"
        "print('buffered')\n"
        "print('at once', file=sys.stderr)\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
    )
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    process = started.start(tmp_path / "script.py", cwd=tmp_path)
    started.wait_for((process.folder / "stderr").read_text, "the error")
    assert (process.folder / "stdout").read_text() == ""
    (tmp_path / "go").touch()
    assert process.communicate() == ("buffered\n", "at once\n")


def test_children_know_their_own_parent(tmp_path: Path) -> None:
    """By which the workers of a DataLoader see that the program was killed."""
    (tmp_path / "script.py").write_text(
        "import os\n"
        "print(os.getppid(), flush=True)\n"
        "parent = os.getpid()\n"
        "if not os.fork():\n"
        "    print(os.getppid() == parent, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    process = started.start(tmp_path / "script.py")
    assert process.communicate() == (f"{os.getpid()}\nTrue\n", "")
