"""What pyproject.toml asks for and this Python lacks, one requirement a line: `python requirements.py [EXTRA ...]`.

The run scripts ask any Python >= 3.10 they find, before anything is installed in it: only the standard library and what
pip brings are imported. Exit status 1 where even that is not there.
"""

import argparse
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def _first_module(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            pass
    sys.exit(1)


Requirement = _first_module("packaging.requirements", "pip._vendor.packaging.requirements").Requirement
tomllib = _first_module("tomllib", "tomli", "pip._vendor.tomli")

ROOT = Path(__file__).parents[2]

_OPENCV = (
    "opencv",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Distributions of the same package cv2; where libGL exists, either will do."""


def read_project() -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(project: dict[str, Any], extras: Iterable[str]) -> list[str]:
    """Return what a project needs, with its extras ("all" stands for every one). Raises KeyError for an unknown one."""
    known = project["optional-dependencies"]
    wanted = known if "all" in extras else {name: known[name] for name in extras}
    return [*project["dependencies"], *(line for lines in wanted.values() for line in lines)]


def oldest(requirement: str) -> str:
    """Return what asks for a package's oldest supported release: `name==1.2.*` for `name>=1.2`."""
    releases, *marker = requirement.split(";")
    name, _, bound = releases.partition(">=")
    if not bound:
        raise ValueError(f"'{requirement}' in pyproject.toml has no lower bound; write it as 'name>=1.2'")
    return ";".join([f"{name}=={bound}.*", *marker])


def missing(lines: Iterable[str]) -> list[str]:
    """Return the requirements that the running Python does not satisfy."""
    return [line for line in lines if not _satisfied(Requirement(line))]


def _satisfied(requirement: Any) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    for name in _OPENCV if requirement.name in _OPENCV else (requirement.name,):
        with suppress(PackageNotFoundError):
            found = version(name)  # None where half a package was left
            if found and requirement.specifier.contains(found, prereleases=True):
                return True
    return False


def main() -> None:
    """Print what is missing."""
    parser = argparse.ArgumentParser(description="Print what pyproject.toml asks for and this Python lacks.")
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="beside the dependencies; 'all' for every extra")
    parser.add_argument("--oldest", action="store_true", help="ask for the oldest supported releases instead")
    options = parser.parse_args()
    lines = requirements(read_project(), options.extras)
    for line in missing(map(oldest, lines) if options.oldest else lines):
        print(line)


if __name__ == "__main__":
    main()
