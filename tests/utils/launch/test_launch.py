"""Which Python the run scripts choose, and what they install: `utils/launch`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from utils.launch import requirements

LAUNCH = Path(requirements.__file__).parent
# Answers as a Python would: lists as missing what the file `lacks` beside it holds, makes "environments", which get a
# copy of the file `new` in that place, and writes down every call of venv and pip.
FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in
    *prefix*) exit "${IN_ENVIRONMENT:-0}" ;;
    *requirements.py*) cat "$(dirname "$0")/lacks" ;;
    *"-m venv"*)
        echo "$*" >>"$CALLS"
        mkdir -p "${!#}/bin" && cp "$0" "${!#}/bin/python" && cp "$(dirname "$0")/new" "${!#}/bin/lacks" ;;
    *"-m pip"*) echo "$*" >>"$CALLS"; exit "${PIP_STATUS:-0}" ;;
esac
"""


class Machine:
    """A project's folder, and a machine's own Python that lacks some packages."""

    def __init__(self, folder: Path) -> None:
        self.project, self.own, self.calls = folder / "project", folder / "bin" / "python3", folder / "calls"
        self.project.mkdir()
        self.own.parent.mkdir()
        self.own.write_text(FAKE_PYTHON)
        self.own.chmod(0o755)

    def prepare(
        self, function: str, *, lacks: str, new: str = "", **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """Call a function of environment.sh. `lacks` is missing in the machine's Python, `new` in new environments."""
        (self.own.parent / "lacks").write_text(lacks)
        (self.own.parent / "new").write_text(new)
        self.calls.write_text("")
        script = f"set -euo pipefail; here='{self.project}'; source '{LAUNCH}/environment.sh'; {function}"
        inherited = {"PATH": os.environ["PATH"], "PYTHON": str(self.own), "CALLS": str(self.calls)}
        return subprocess.run(
            ["bash", "-c", f'{script}; echo "uses $python"'],
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_python_that_has_everything_is_used_as_it_is(machine: Machine) -> None:
    assert machine.prepare("prepare_environment", lacks="").stdout == f"uses {machine.own}\n"
    assert machine.calls.read_text() == ""


def test_a_fitting_pytorch_of_the_machine_is_not_installed_again(machine: Machine) -> None:
    lacks = "pillow>=10.1\ntqdm>=4.66\n"
    result = machine.prepare("prepare_environment", lacks=lacks, new=lacks)
    assert result.stdout.endswith(f"uses {machine.project}/.venv/bin/python\n")
    venv, pip = machine.calls.read_text().splitlines()
    assert venv == f"-m venv --system-site-packages {machine.project}/.venv"
    assert pip.endswith("install --disable-pip-version-check pillow>=10.1 tqdm>=4.66")


@pytest.mark.parametrize("lacks", ["torch>=2.6\n", "torchvision>=0.21\ntqdm>=4.66\n"])
def test_without_a_fitting_pytorch_the_environment_stands_alone(machine: Machine, lacks: str) -> None:
    machine.prepare("prepare_environment", lacks=lacks)
    assert machine.calls.read_text() == f"-m venv {machine.project}/.venv\n"


def test_the_environment_is_not_made_on_top_of_another(machine: Machine) -> None:
    """It would not see the other one's packages. The person is told what the active one lacks."""
    active = {"VIRTUAL_ENV": "/elsewhere/venv", "IN_ENVIRONMENT": "1"}
    result = machine.prepare("prepare_environment", lacks="tqdm>=4.66\nscipy>=1.11\n", **active)
    assert "/elsewhere/venv lacks tqdm>=4.66, scipy>=1.11:" in result.stdout
    assert machine.calls.read_text() == f"-m venv {machine.project}/.venv\n"


def test_what_is_missing_is_installed_where_the_environment_is_there(machine: Machine) -> None:
    machine.prepare("prepare_environment", lacks="torch>=2.6\n")
    (machine.project / ".venv" / "bin" / "lacks").write_text("tqdm>=4.66\n")
    machine.prepare("prepare_environment", lacks="torch>=2.6\n")
    assert machine.calls.read_text() == "-m pip install --disable-pip-version-check tqdm>=4.66\n"


def test_oldest_releases_that_cannot_be_installed_end_the_run(machine: Machine) -> None:
    result = machine.prepare("prepare_oldest_environment dev", lacks="", new="torch==2.6.*\n", PIP_STATUS="3")
    assert (result.returncode, "uses" in result.stdout) == (1, False)
    assert result.stderr.endswith("could not be installed: nothing was tested with them.\n")


def test_missing_are_the_requirements_that_are_not_satisfied() -> None:
    satisfied = ["numpy>=1.0", "pillow", "opencv-python>=4.8", "no-such-package; python_version < '3'"]
    lacking = ["numpy>=9999", "no-such-package>=1.0"]
    assert requirements.missing([*satisfied, *lacking]) == lacking


def test_pre_releases_count_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers ship builds such as this one."""
    monkeypatch.setattr(requirements, "version", lambda name: "2.7.0a0+79aa17489c.nv25.4")
    assert requirements.missing(["torch>=2.6", "torch>=2.7"]) == ["torch>=2.7"]


def test_half_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that broke off leaves a package without the file that has its version."""
    monkeypatch.setattr(requirements, "version", lambda name: None)
    assert requirements.missing(["tqdm>=4.66"]) == ["tqdm>=4.66"]


def test_the_oldest_release_is_that_of_the_lower_bound() -> None:
    assert requirements.oldest("torch>=2.6") == "torch==2.6.*"
    assert requirements.oldest("av>=17.0; python_version < '3.11'") == "av==17.0.*; python_version < '3.11'"
    with pytest.raises(ValueError, match=r"'torch' in pyproject\.toml has no lower bound"):
        requirements.oldest("torch")
    for line in requirements.requirements(requirements.read_project(), ["dev"]):
        bound = line.partition(">=")[2]
        assert Requirement(requirements.oldest(line)).specifier.contains(bound)
        assert Requirement(line).specifier.contains(bound)


def test_a_python_without_pip_fails_to_tell() -> None:
    """`-I -S` leaves the standard library alone, as in a Debian without python3-pip."""
    command = [sys.executable, "-I", "-S", str(LAUNCH / "requirements.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
