"""What the pages say exists: files and headings that they link to, scripts, modules, and their options."""

import contextlib
import importlib.util
import os
import re
import runpy
import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.support.leaving import exit_of_this_process
from tests.support.modules import forget_module
from tests.support.pages import (
    PAGES,
    ROOT,
    Command,
    code_spans,
    command,
    commands,
    fenced_blocks,
    outside_blocks,
    without_launcher,
)

HISTORY = ROOT / "CHANGELOG.md"
"""Speaks of options that are gone, too."""
LANGUAGES = {"bash", "bibtex", "json", "python", "text"}
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
    for path in sorted(ROOT.glob("dataset/**/*.py"))
    if 'if __name__ == "__main__"' in path.read_text()
]
STRESS = [path for path in sorted(ROOT.glob("tests/stress/*.py")) if "ArgumentParser" in path.read_text()]
SCRIPTS = [
    path.relative_to(ROOT).as_posix()
    for path in (*sorted([*ROOT.glob("*.py"), *ROOT.glob("benchmarks/*.py")]), *STRESS)
    if "__main__" in path.read_text()
]
OPTION = re.compile(r"--[a-z][a-z-]*")
PUT_THERE = ("dataset/resnet101-imagenet.pth",)
"""Files that people put into the folder."""
# Options of other programs (Slurm, apptainer, docker) in sentences.
OF_OTHERS = {"--nodes", "--nv", "--shm-size", "--signal"}

all_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of every script and module, as its --help shows them, and of every shell script."""
    found = {name: options_in_help(name) for name in (*SCRIPTS, *MODULES)}
    for script in ROOT.glob("*.sh"):  # they have options of their own, and hand others on
        text = script.read_text()
        launched = re.findall(r"\$here/(\w+\.py)", text)
        found[f"./{script.name}"] = set(OPTION.findall(text)).union(*(found[name] for name in launched))
    return found | {"docs/slurm.sh": found["./run.sh"]}


def options_in_help(name: str) -> set[str]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, "--help"])
        patch.setattr(sys, "path", [str((ROOT / name).parent), *sys.path])
        patch.setattr("argparse.ArgumentParser._print_message", lambda _, message, *__: said.append(message))
        patch.setattr(os, "_exit", exit_of_this_process())
        patch.setattr(signal, "signal", lambda *_: None)  # scripts that start choose what Ctrl-C does
        if name in MODULES:
            forget_module(patch, name)
        with contextlib.suppress(SystemExit):
            if name in MODULES:
                runpy.run_module(name, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(ROOT / name), run_name="__main__")
    assert said, f"{name} --help says nothing"
    return set(OPTION.findall("".join(said)))


def target(words: list[str]) -> tuple[str, list[str]] | None:
    """Return the script or module of this project that a command runs, and its arguments; None for other programs."""
    if words[0] == "sbatch":
        words = words[1:]
    elif Path(words[0]).name.startswith("python"):
        words = without_launcher(words[1:])
    if len(words) > 1 and words[0] == "-m":
        is_ours = (ROOT / words[1].partition(".")[0]).is_dir()
        return (words[1], words[2:]) if is_ours else None
    is_file = bool(words) and re.fullmatch(r"(\./)?[\w/]+\.(py|sh)", words[0])
    return (words[0], words[1:]) if is_file else None


def page_commands(page: Path) -> list[Command]:
    """Return the commands of a page's blocks, and what stands between backquotes, which often is one."""
    found = [line for block in fenced_blocks(page) if block.language == "bash" for line in commands(block)]
    for where, span in code_spans(page):
        try:
            words = shlex.split(span)
        except ValueError:
            continue
        if words:
            found.append(command(words, where))
    return [line for line in found if line.words]


@all_pages
def test_scripts_modules_and_options_of_commands_exist(page: Path, options: dict[str, set[str]]) -> None:
    for line in page_commands(page):
        found = target(line.words)
        if found is None or page == HISTORY:
            continue
        name, arguments = found
        assert exists(name), f"{line.where}: there is no {name}"
        used = {word.partition("=")[0] for word in arguments if re.match(r"--[a-z]", word)}
        unknown = used - options.get(name, set())
        assert not unknown, f"{line.where}: {name} has no {', '.join(sorted(unknown))}; see its --help"


def exists(name: str) -> bool:
    """Say whether there is such a script or module; a name without a folder may be that of a file in some folder."""
    if not name.endswith((".py", ".sh")):
        return importlib.util.find_spec(name) is not None
    return any((ROOT / name).is_file() or any(ROOT.glob(f"{folder}/{name}")) for folder in ("*", "*/*"))


@all_pages
def test_files_and_folders_of_the_project_exist(page: Path) -> None:
    rooms = "|".join(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("data", "snapshots"))
    for where, span in code_spans(page):
        for word in span.split():
            if re.fullmatch(rf"({rooms})/[\w./-]+", word) and page != HISTORY and word not in PUT_THERE:
                assert (ROOT / word).exists(), f"{where}: there is no {word}"


@all_pages
def test_options_in_sentences_are_those_of_some_script(page: Path, options: dict[str, set[str]]) -> None:
    if page == HISTORY:
        return
    known = set().union(*options.values()) | OF_OTHERS
    for where, span in code_spans(page):
        if span.startswith("--"):
            option = span.split()[0]
            assert option in known, f"{where}: no script has {option}"


@all_pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for number, line in outside_blocks(page):
        for link in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, heading = link.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), f"{page.name}:{number}: there is no {link}"
            assert not heading or heading in anchors(linked), f"{page.name}:{number}: there is no heading for {link}"


def anchors(page: Path) -> set[str]:
    """Return what links call a page's headings: small letters, hyphens for spaces, no other signs."""
    headings = [line.lstrip("# ") for _, line in outside_blocks(page) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@all_pages
def test_commands_stand_in_blocks_that_name_their_language(page: Path) -> None:
    for block in fenced_blocks(page):
        assert block.language in LANGUAGES, f"{block.where}: name the language, one of {sorted(LANGUAGES)}"
    for number, line in outside_blocks(page):
        is_command = re.match(r" {4,}(\./|\.venv/|[A-Z_]+=|(python3?|pip|git|source|sbatch) )", line)
        assert not is_command, f"{page.name}:{number}: put the command into a ```bash block, so that it is run"


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") <= 150
    for page in PAGES:
        if page.name != "README.md":
            assert f"]({page.relative_to(ROOT).as_posix()})" in readme, f"README.md does not name {page.name}"


def test_what_is_checked_would_be_found_out(options: dict[str, set[str]]) -> None:
    """A page with a mistake: the helpers above see it."""
    assert "--overlay" in options["predict.py"]
    assert "--amp" in options["./run.sh"]
    assert target(["python", "-m", "dataset.check", "--data-dir", "x"]) == ("dataset.check", ["--data-dir", "x"])
    assert target(["python", "-m", "torch.distributed.run", "--standalone", "train.py", "--amp", "off"]) == (
        "train.py",
        ["--amp", "off"],
    )
    assert target(["git", "clone"]) is None
    assert "better-or-faster" in anchors(ROOT / "docs/pictures.md")
