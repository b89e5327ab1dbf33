"""What several files of the project say about it agrees."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from utils.launch.requirements import read_project, requirements

ROOT = Path(__file__).parents[1]
PROJECT = read_project()


def lines(name: str) -> list[str]:
    """Return the lines of a requirements or constraints file that are no comments."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def test_requirements_are_the_dependencies_of_the_project() -> None:
    assert lines("requirements.txt") == PROJECT["dependencies"], "change requirements.txt as pyproject.toml was"


@pytest.mark.parametrize("line", requirements(PROJECT, ["all"]))
def test_constraints_pin_a_release_that_is_allowed(line: str) -> None:
    pins = {canonicalize_name(name): pin for name, _, pin in (pin.partition("==") for pin in lines("constraints.txt"))}
    requirement = Requirement(line)
    pin = pins.get(canonicalize_name(requirement.name))
    assert pin, "CONTRIBUTING.md says how constraints.txt is made anew"
    assert requirement.specifier.contains(pin)


def texts() -> list[Path]:
    """Return the files that may tell a person what to install."""
    outside = {path.name for path in ROOT.glob(".*")} - {".ci", ".github"} | {"data", "snapshots"}
    rooms = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in outside]
    kinds = (".py", ".sh", ".md", ".toml", ".txt", ".yml", "")
    found = [*ROOT.iterdir(), *(path for room in rooms for path in room.rglob("*"))]
    return [path for path in found if path.is_file() and path.suffix in kinds]


def test_what_people_are_told_to_install_exists() -> None:
    extras = PROJECT["optional-dependencies"]
    for path in texts():
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"requirements[-\w]*\.txt", text):
            assert (ROOT / name).is_file(), f"{path} names {name}"
        for names in re.findall(r"pip install (?:-e )?[\"']?\.\[([\w,-]+)\]", text):
            assert set(names.split(",")) <= set(extras), f"{path} names the extras {names}"


def test_the_version_is_the_same_everywhere() -> None:
    released = re.findall(r"^## \[(\d\S*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", citation, re.M))
    assert released[0] == (PROJECT["version"], cited["date-released"])
    assert cited["version"] == PROJECT["version"]
