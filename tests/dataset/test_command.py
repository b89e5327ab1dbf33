"""How commands end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.command import CommandError, run_command
from dataset.layouts import DatasetError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DatasetError("data: no such folder"), "test.py: data: no such folder"),
        (
            OSError(28, "No space left on device", "out/a.png"),
            "test.py: [Errno 28] No space left on device: 'out/a.png'",
        ),
        (CommandError("the page needs gradio"), "test.py: the page needs gradio"),
        (MemoryError(), "test.py: the memory is too small; buy some"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "test.py: the memory is too small; buy some"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "test.py: the memory is too small; buy some"),
    ],
)
def test_what_a_person_can_mend_is_one_sentence(
    error: Exception, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert run_command("test.py", work, out_of_memory="buy some") == 2
    assert capsys.readouterr().err == sentence + "\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    def work() -> None:
        raise RuntimeError("tensors of different sizes")

    with pytest.raises(RuntimeError, match="different sizes"):
        run_command("test.py", work)


def test_what_the_work_returns_is_the_status() -> None:
    assert run_command("test.py", lambda: None) == 0
    assert run_command("test.py", lambda: 1) == 1


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    assert run_command("test.py", work, interrupted="Ended.") == 130
    assert capsys.readouterr().err == "\nEnded.\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = (
        "from dataset.command import run_command; import sys\n"
        "sys.exit(run_command('test.py', lambda: print('line\\n' * 100_000, flush=True)))"
    )
    command = f'"{sys.executable}" -c "$SCRIPT" | head -n 1'
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        env={"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("line\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_standard_stream(closed: str, tmp_path: Path) -> None:
    """Else what libraries say on standard error would be written into it."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from dataset.command import run_command\n"
        "def work():\n"
        "    with open(sys.argv[1], 'w') as file: file.write(str(file.fileno()))\n"
        "run_command('test.py', work)\n"
    )
    command = f'exec "$0" "$1" "$2" {closed}'
    arguments = ["sh", "-c", command, sys.executable, str(script), str(tmp_path / "number")]
    subprocess.run(arguments, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=60)
    assert int((tmp_path / "number").read_text()) > 2
