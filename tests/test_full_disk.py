"""Every writer on a full disk: one sentence with the path, nothing left, and the next run makes it.

Those of predict.py are in tests/utils/prediction/test_predict_full_disk.py, the page's downloads in
tests/utils/web/test_app.py.
"""

import json
import sys
from collections.abc import Callable
from multiprocessing.sharedctypes import RawArray
from pathlib import Path

import numpy as np
import pytest
import torch

import dataset.check
import dataset.prepare_ccp
import dataset.relabel
import export
from dataset.descriptions import BUILT_IN
from dataset.people import __main__ as people
from dataset.people import make_dataset
from tests.support.full_disk import files_of_at_most
from tests.support.tiny_parser import CROP, tiny_network
from utils.checkpoint.files import read_checkpoint
from utils.checkpoint.snapshots import LoadedModel, write_snapshot
from utils.evaluation import cli as evaluation
from utils.export.verify import Comparison
from utils.inference.engines import TorchEngine
from utils.inference.loading import LoadedEngine

LIP = BUILT_IN["lip"]
CLASSES = {"name": "two", "classes": ["Nobody", "Somebody"], "flip_pairs": [], "ignore_label": 255}

Command = Callable[[], int]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("people"), num_train=1, num_val=1, size=(96, 72), workers=1)


@pytest.fixture
def fails_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a function that runs a command where files can have `size` bytes at most, and then where they need not."""

    def check(command: Command, size: int, path: Path) -> None:
        with files_of_at_most(size):
            assert command() == 2
        error = capsys.readouterr().err
        told = [line for line in error.splitlines() if "File too large" in line]
        assert [line.endswith(f"File too large: '{path}'") for line in told] == [True], error
        assert "Traceback" not in error
        assert not path.exists()
        assert not list(tmp_path.rglob(".partial*"))
        assert command() == 0
        assert path.stat().st_size > size, "the limit was not this file's"

    return check


@pytest.mark.parametrize(("option", "name"), [("--report", "report.json"), ("--output", "chart.png")])
def test_the_check_of_a_dataset(
    option: str, name: str, data: Path, tmp_path: Path, fails_on_a_full_disk: Callable[..., None]
) -> None:
    arguments = ["--data-dir", str(data), option, str(tmp_path / name)]
    fails_on_a_full_disk(lambda: dataset.check.main(arguments), 1000, tmp_path / name)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (20, "people.json"),
        (200, "dataset.json"),
        (1500, "train_images/train_00000.jpg"),
    ],
)
def test_drawn_people(
    size: int,
    name: str,
    tmp_path: Path,
    fails_on_a_full_disk: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments = ["dataset.people", "--output", str(tmp_path / "set"), "--train", "1", "--val", "1", "--size", "96,72"]
    monkeypatch.setattr(sys, "argv", arguments)
    fails_on_a_full_disk(people.main, size, tmp_path / "set" / name)


def test_a_sheet_of_drawn_people(
    tmp_path: Path, fails_on_a_full_disk: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "sheet.jpg"
    monkeypatch.setattr(sys, "argv", ["dataset.people", "--sheet", str(sheet), "--size", "32,32"])
    fails_on_a_full_disk(people.main, 3000, sheet)


def test_the_converted_clothing_dataset(tmp_path: Path, fails_on_a_full_disk: Callable[..., None]) -> None:
    pytest.importorskip("scipy.io")
    from tests.support.clothing import make_repository, person

    source = make_repository(tmp_path / "source", {"0001": person(40, 30, (5, 35, 5, 25))})
    arguments = ["--source", str(source), "--output", str(tmp_path / "ccp")]
    photograph = tmp_path / "ccp/train_images/0001.jpg"
    fails_on_a_full_disk(lambda: dataset.prepare_ccp.main(arguments), 100, photograph)


@pytest.mark.parametrize(
    ("size", "name"), [(100, "train_segmentations/train_00000.png"), (1500, "train_images/train_00000.jpg")]
)
def test_a_relabelled_dataset(
    size: int, name: str, data: Path, tmp_path: Path, fails_on_a_full_disk: Callable[..., None]
) -> None:
    table = tmp_path / "two.json"
    table.write_text(json.dumps(CLASSES | {"map": {"Background": "Nobody"}, "others": "Somebody"}))
    arguments = ["--data-dir", str(data), "--classes", str(table), "--output", str(tmp_path / "new")]
    fails_on_a_full_disk(lambda: dataset.relabel.main(arguments), size, tmp_path / "new" / name)


@pytest.mark.parametrize(
    ("option", "name"),
    [("--report", "report.json"), ("--examples", "examples.png"), ("--confusion-picture", "confusion.png")],
)
def test_what_an_evaluation_writes(
    option: str, name: str, data: Path, tmp_path: Path, fails_on_a_full_disk: Callable[..., None]
) -> None:
    maps = str(data / "val_segmentations")
    arguments = ["--data-dir", str(data), "--predictions", maps, option, str(tmp_path / name)]
    fails_on_a_full_disk(lambda: evaluation.run("", (1.0,), arguments), 1000, tmp_path / name)


def test_the_class_maps_of_an_evaluation(
    data: Path, tmp_path: Path, fails_on_a_full_disk: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    RawArray("q", 2**16)  # leaves a file in /dev/shm in which the loader's table finds room: the limit is not for it
    engine = TorchEngine(tiny_network(), torch.device("cpu"))
    monkeypatch.setattr(evaluation, "load_engine", lambda *_, **__: LoadedEngine(engine, LIP, LIP.num_classes, CROP))
    arguments = ["--data-dir", str(data), "--checkpoint", "tiny", "--save-predictions", str(tmp_path)]
    arguments += ["--device", "cpu", "--num-workers", "0"]
    fails_on_a_full_disk(lambda: evaluation.run("", (1.0,), arguments), 900, tmp_path / "val_00000.png")


@pytest.mark.parametrize("file_format", ["torch", "safetensors", "published"])
def test_exports(
    file_format: str, tmp_path: Path, fails_on_a_full_disk: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own writer of programs ends the whole process; its writer of state dicts hides what happened.

    Exporting a program takes PyTorch seconds. ONNX files, which take longer, are written the same way.
    """
    loaded = LoadedModel(tiny_network(), LIP)  # type: ignore[arg-type]
    for module in ("export", "utils.export.export"):
        monkeypatch.setattr(f"{module}.load_model", lambda *_, **__: loaded)
    monkeypatch.setattr("utils.export.export.to_published", dict)
    monkeypatch.setattr(
        "utils.export.export.compare", lambda *_, **__: [Comparison("nothing", (1, 3, 97, 73), 0.0, 1, 1)]
    )
    path = tmp_path / "network"
    arguments = ["--checkpoint", "tiny", "--format", file_format, "--output", str(path)]
    fails_on_a_full_disk(lambda: export.main(arguments), 3000, path)


@pytest.mark.parametrize("size", [0, 100, 3000, 21_000])
def test_snapshots(size: int, tmp_path: Path) -> None:
    path = tmp_path / "Last.pth"
    write_snapshot(path, {"step": 1})
    weights = torch.from_numpy(np.arange(5000, dtype=np.float32))
    content = {"step": 2, "weights": weights}
    with pytest.raises(OSError, match=r"File too large: '[^']*Last\.pth'$"), files_of_at_most(size):
        write_snapshot(path, content)
    assert list(tmp_path.iterdir()) == [path]
    assert read_checkpoint(path)["step"] == 1
    write_snapshot(path, content)
    assert torch.equal(read_checkpoint(path)["weights"], weights)
