"""The commands and the Python of the pages, run on miniatures in the order of the page.

Scripts run in this process, with their own command lines. Whatever a page gains is run as well. A command that cannot
be run here is named in one of the lists below, with the reason; its options are checked all the same (`test_pages.py`).
No block continues the training of the one before: they often are alternatives.
"""

import contextlib
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import networks
import utils.checkpoint.snapshots
from dataset.descriptions import load_description
from tests.support.building import empty_network
from tests.support.leaving import exit_of_this_process
from tests.support.miniatures import MiniatureNetwork, make_miniatures
from tests.support.modules import forget_module
from tests.support.pages import PAGES, ROOT, Block, Command, commands, fenced_blocks, without_launcher
from tests.support.weights import published, timm
from utils.checkpoint.transfer import start_from
from utils.inference.people import Person, PersonDetector

# Programs of others: they need the network, a cluster, or are not there. Only their form is looked at.
OTHERS = ("ffmpeg", "git", "pip", "source", "sbatch", "tensorboard")
OTHER_MODULES = ("mypy", "pip", "pytest", "ruff", "venv")
# Run by tests of their own, or run all tests.
ELSEWHERE = (
    "benchmarks/",
    "tests/stress/",
    "./run_tests.sh",
    ".ci/run",
    "tests.support.app_screenshot",
)
# What makes the work small; the last of two options counts.
SMALLER = {
    "train.py": "--input-size 65,65 --batch-size 2 --epochs 1 --num-workers 0 --amp off --val-every 1",
    "evaluate.py": "--num-workers 0",
    "evaluate_multiscale.py": "--num-workers 0",
    "dataset.people": "--train 4 --val 2 --size 96,72 --workers 1",
}
# Packages of extras that the commands of a page need.
NEEDED = {"export": ("onnx", "onnxscript", "onnxruntime"), "page": ("gradio",)}
REPLACED = {"/data/LIP": "data/LIP", "path/to/CSENet": str(ROOT)}

CODE = [page for page in PAGES if any(block.language in ("bash", "python") for block in fenced_blocks(page))]


@pytest.fixture(scope="module")
def miniatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_miniatures(tmp_path_factory.mktemp("miniatures"))


@pytest.fixture
def clone(miniatures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the miniatures as the current folder, and the tiny network in the place of CSENet."""
    folder = shutil.copytree(miniatures, tmp_path / "clone")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(networks, "CSENet", MiniatureNetwork)
    monkeypatch.setattr(utils.checkpoint.snapshots, "CSENet", MiniatureNetwork)
    monkeypatch.setitem(sys.modules, "timm", timm_stand_in())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(os, "_exit", exit_of_this_process())
    monkeypatch.setattr(
        PersonDetector, "load", lambda *_, **__: SimpleNamespace(detect=lambda _: [Person((9, 9, 99, 99))])
    )
    # The page takes long to import, and has tests of its own.
    monkeypatch.setitem(sys.modules, "utils.web.page", SimpleNamespace(WebPage=stand_in, draw_examples=stand_in))
    monkeypatch.setitem(sys.modules, "utils.web.server", SimpleNamespace(launch=stand_in))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield folder
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def stand_in(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(build=stand_in)


def timm_stand_in() -> ModuleType:
    """A module that gives weights in the layout of timm's `resnet101s`, without a download."""
    module = ModuleType("timm")

    def create_model(name: str, *, pretrained: bool) -> Any:
        assert (name, pretrained) == ("resnet101s.gluon_in1k", True)
        return SimpleNamespace(state_dict=timm)

    module.create_model = create_model  # type: ignore[attr-defined]
    return module


@pytest.mark.newest_only
@pytest.mark.parametrize("page", CODE, ids=lambda page: page.stem)
def test_every_command_of_a_page_does_its_work(
    page: Path, clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if any(find_spec(package) is None for package in NEEDED.get(page.stem, ())):
        pytest.skip(f"needs {NEEDED[page.stem]}")
    namespace: dict[str, Any] = {}
    for block in fenced_blocks(page):
        text = block.text
        for written, here in REPLACED.items():
            text = text.replace(written, here)
        block = block._replace(text=text)
        if block.language == "python":
            run_python(block, namespace)
        elif block.language == "bash":
            for unfinished in clone.glob("snapshots/*_Last.*"):
                unfinished.unlink()
            for command in commands(block):
                with monkeypatch.context() as patch:
                    run_command(command, patch, capfd)


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
    exec(code, namespace)


def run_command(command: Command, patch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Run a command of a page; fail with its place, and what it said, where it fails."""
    for name, value in command.settings.items():
        patch.setenv(name, value)
    words = command.words
    program = Path(words[0]).name
    if words[0] == "export" or program in OTHERS or words[0].startswith(ELSEWHERE):
        return
    if words[0].startswith("./run"):
        todo = recorded(command, patch)
    elif program.startswith("python"):
        todo = [words[1:]]
    else:
        pytest.fail(
            f"{command.where}: teach tests/docs/test_commands.py to run '{words[0]}', or name it there with OTHERS"
        )
    for arguments in todo:
        try:
            status = run_arguments(arguments, patch)
        except Exception as error:
            raise AssertionError(f"{command.where}: {shlex.join(words)} failed") from error
        said = capfd.readouterr()
        assert status == 0, f"{command.where}: {shlex.join(words)} ended with {status}:\n{said.out[-500:]}{said.err}"


def recorded(command: Command, patch: pytest.MonkeyPatch) -> list[list[str]]:
    """Run a shell script with a stand-in for Python; return what it had Python run."""
    Path("recorded").write_text("")
    patch.setenv("PYTHON", str(Path("stand-in").absolute()))
    patch.delenv("VIRTUAL_ENV", raising=False)
    for name in {"DATA_DIR", "CHECKPOINT", "GPUS", "BATCH_SIZE", "NNODES"} - set(command.settings):
        patch.delenv(name, raising=False)
    result = subprocess.run(command.words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{command.where}: {result.stderr}"
    lines = Path("recorded").read_text().splitlines()
    assert lines, f"{command.where}: {command.words[0]} ran nothing: {result.stdout}"
    return [shlex.split(line) for line in lines]


def run_arguments(arguments: list[str], patch: pytest.MonkeyPatch) -> int:
    """Do in this process what `python ARGUMENTS` would; return the exit status."""
    if arguments[0] == "-c":
        exec(arguments[1], {})
        return 0
    arguments = without_launcher(arguments)  # one process is enough
    is_module = arguments[0] == "-m"
    name, options = (arguments[1], arguments[2:]) if is_module else (arguments[0], arguments[1:])
    if not is_module:
        name = os.path.relpath(name)
    if name.startswith(ELSEWHERE) or (is_module and name in OTHER_MODULES):
        return 0
    options += SMALLER.get(name, "").split()
    if name == "train.py":
        options = start_real_network(options)
    patch.setattr(sys, "argv", [name, *options])
    try:
        if is_module:
            forget_module(patch, name)  # runpy would warn of it
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / name), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def start_real_network(options: list[str]) -> list[str]:
    """Take `--restore-from FILE` out of a training's options, and start the real network from such weights instead.

    Nothing but the real network can be filled with the real layouts.
    """
    if "--restore-from" not in options:
        return options
    place = options.index("--restore-from")
    weights = Path(options[place + 1])
    assert weights.is_file(), f"there is no {weights}"
    if weights.name == "LIP_epoch_Best.pth":
        weights = Path("released.pth")
        torch.save(published("module."), weights)
    dataset = load_description(options[options.index("--data-dir") + 1])
    with contextlib.redirect_stdout(None):
        start_from(empty_network(dataset.num_classes), dataset, weights)
    return options[:place] + options[place + 2 :]
