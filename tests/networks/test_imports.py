"""Who imports whom: rooms in one direction, and networks, losses and checkpoints where OpenCV is not installed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
# The project's packages that a room may import, besides itself; rooms that are not here may import all.
MAY_IMPORT = {"modules": set(), "networks": {"modules"}, "dataset": set()}
ENTRY_POINTS = ("hubconf", "utils.losses", "utils.metrics", "dataset.targets")


def modules_of(room: str) -> list[str]:
    paths = sorted((ROOT / room).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, module) of all imports in a file, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            yield node.lineno, str(node.module)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_nothing_from_rooms_above_it(room: str) -> None:
    scripts = {path.stem for path in ROOT.glob("*.py")}
    above = {"modules", "networks", "dataset", "utils", "tests", "benchmarks", *scripts} - MAY_IMPORT[room] - {room}
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for line, name in imports_of(path)
        if name.partition(".")[0] in above
    ]
    assert wrong == []


def test_no_tuple_is_generic_which_python_3_10_refuses() -> None:
    """In any file, also in those of the page, which the tests with the oldest releases leave out."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ("dataset", "modules", "networks", "utils")
        for path in sorted((ROOT / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and len(node.bases) > 1 and "NamedTuple" in map(ast.unparse, node.bases)
    ]
    assert wrong == []


def test_scripts_start_without_torchvision_which_takes_seconds_to_import() -> None:
    run_program("import sys, train, predict, utils.evaluation.cli, export\nassert 'torchvision' not in sys.modules")


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14),
    reason="PyTorch 2.6 imports SymPy for any meta tensor; releases between were not tried",
)
def test_networks_are_loaded_without_sympy_which_takes_seconds_to_import() -> None:
    run_program(
        """
import sys
from utils.checkpoint.snapshots import blank_network
blank_network(3, (65, 65), depth=50)
assert "sympy" not in sys.modules
"""
    )


def run_program(program: str) -> None:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr


def run_without_opencv(program: str) -> None:
    """Run a program where OpenCV and the other libraries that networks do without cannot be imported."""
    blocked = dict.fromkeys(("cv2", "torchvision", "PIL", "tqdm", "tensorboard", "scipy"))
    run_program(f"import sys\nsys.modules |= {blocked}\n{program}")


def test_networks_losses_and_checkpoints_import_without_opencv() -> None:
    names = [name for room in ("networks", "modules", "utils/checkpoint") for name in modules_of(room)]
    names += ENTRY_POINTS
    assert len(names) > 10
    run_without_opencv(f"import importlib\nfor name in {names!r}:\n    importlib.import_module(name)\n")


def test_networks_are_built_loaded_and_trained_without_opencv() -> None:
    run_without_opencv(
        """
import torch
from networks import CSENetOutput
from utils.checkpoint import CheckpointError
from utils.losses import CSENetLoss
from utils.checkpoint.snapshots import load_model

with torch.device("meta"):  # shapes are enough
    model = torch.hub.load(".", "csenet_resnet50", num_classes=3, source="local")
assert model.num_classes == 3
try:
    load_model("nowhere.pth")
except CheckpointError as error:
    assert "nowhere.pth" in str(error)
maps, bars = torch.rand(2, 3, 9, 9), torch.rand(2, 3, 5)
out = CSENetOutput(coarse=maps, body=maps, final=maps, edge=maps[:, :2], rows=bars, cols=bars)
assert CSENetLoss(3)(out, torch.randint(3, (2, 17, 17)))[0] > 0
try:
    torch.hub.load(".", "human_parser", "any.pth", source="local")
except ImportError as error:
    assert "human_parser reads pictures and needs cv2" in str(error), error
else:
    raise AssertionError("it needs OpenCV")
"""
    )
