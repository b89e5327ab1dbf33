"""Values that options cannot have: one sentence and one exit status, the same at every entry point.

The entry points are found by their `__main__`, their options by their parsers.
"""

import argparse
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset.options import SEED, Number, OptionError, Whole, checked
from dataset.people import make_dataset
from networks import CSENet
from tests.support.tiny_parser import tiny_network, tiny_parser
from utils.cli import device_option, scales_option, size_option
from utils.distributed import Processes
from utils.inference import HumanParser
from utils.inference.engines import TorchEngine
from utils.training.config import TrainConfig

ROOT = Path(__file__).parents[1]
MAIN = 'if __name__ == "__main__":'
ENTRY_POINTS = [
    path
    for folder in (".", "benchmarks", "dataset", "dataset/people")
    for path in sorted((ROOT / folder).glob("*.py"))
    if MAIN in path.read_text(encoding="utf-8")
]

SIZES = [
    "",
    "1",
    "1,1",
    "64,473",
    "473,64",
    "5000,473",
    "473,100000",
    f"{10**400},473",
    "0,0",
    "473x-5",
    "1,2,3",
    "a,b",
]
SCALES = ["inf", "nan", "0.0001", "1000", "-1", "", "1,,1", "1,nan", "1e400", "half", ",".join(["1"] * 10_000)]
WHOLE = ["-1", "1.5", "", "many", "1e3", "9" * 400, "9" * 5000, "10000000000000000000"]
BAD: dict[str, list[str]] = {
    "--scales": SCALES,
    "--input-size": SIZES,
    "--size": ["", "5", "1,2,3", "a,b", "0,0"],
    "--batch-size": [*WHOLE, "0", "1025"],
    "--val-batch-size": [*WHOLE, "0"],
    "--num-workers": [*WHOLE, "257", "100000"],
    "--workers": [*WHOLE, "0", "257"],
    "--random-seed": [*WHOLE],
    "--seed": WHOLE,
    "--train": [*WHOLE, "0"],
    "--val": [*WHOLE, "0"],
    "--learning-rate": ["nan", "inf", "0", "-1", "fast", ""],
    "--power": ["nan", "inf", "-1", "-0.5", ""],
    "--momentum": ["nan", "inf", "-1", "1", "1.5"],
    "--weight-decay": ["nan", "inf", "-1"],
    "--device": ["meta", "vulkan", "xpu", "cuda:99", "cuda:256", "cuda:-1", "cpu:1", "toaster", "", "\x1b[2J"],
    "--amp": ["fp16"],
    "--batch": ["0", "many"],
    "--classes": ["0", "256"],
    "--warmup": ["-1"],
    "--repeat": ["0"],
    "--pictures": ["0"],
    "--port": [*WHOLE, "0", "65536"],
    "--max-upload-mb": ["nan", "inf", "0", "-1", "1e6"],
    "--max-picture-side": [*WHOLE, "0", "100000"],
    "--num-classes": ["-1", "some"],
    "--ignore-label": ["-1", "256"],
    **{name: [*WHOLE, "0"] for name in ("--epochs", "--accumulate", "--val-every", "--log-every")},
    "--keep-every": WHOLE,
}


class _FoundError(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def find_parser(path: Path) -> argparse.ArgumentParser:
    """Start an entry point and return its parser."""

    def found(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        raise _FoundError(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", found)
        patch.setattr(sys, "argv", [path.name])
        with pytest.raises(_FoundError) as caught:
            runpy.run_path(str(path), run_name="__main__")
    return caught.value.parser


@pytest.fixture(scope="module")
def parsers() -> dict[Path, argparse.ArgumentParser]:
    assert len(ENTRY_POINTS) >= 8
    return {path: find_parser(path) for path in ENTRY_POINTS}


def with_option(parsers: dict[Path, argparse.ArgumentParser], option: str) -> list[Path]:
    """Return the entry points with an option of that name for numbers or a choice: others may name files by it."""
    found = {path: parser._option_string_actions.get(option) for path, parser in parsers.items()}
    return [
        path for path, action in found.items() if action and (action.choices or action.type not in (None, str, Path))
    ]


def start(path: Path, parser: argparse.ArgumentParser, *arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Start an entry point with these options and those it cannot do without; return its exit status."""
    needed = [action for action in parser._actions if action.required]
    needed += [group._group_actions[0] for group in parser._mutually_exclusive_groups if group.required]
    given = [f"{action.option_strings[0]}={next(iter(action.choices or ['nowhere']))}" for action in needed]
    monkeypatch.setattr(sys, "argv", [path.name, *given, *arguments])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(path), run_name="__main__")
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("option", BAD)
def test_a_value_that_cannot_be_is_the_same_sentence_everywhere(
    option: str,
    parsers: dict[Path, argparse.ArgumentParser],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = with_option(parsers, option)
    assert places
    for value in BAD[option]:
        sentences: set[str] = set()
        for path in places:
            status = start(path, parsers[path], f"{option}={value}", monkeypatch=monkeypatch)
            out, error = capsys.readouterr()
            assert (status, out, error.count("\n")) == (2, "", 1), (path, value, error)
            assert len(error) < 500
            assert "\x1b" not in error
            name, _, sentence = error.partition(": ")
            assert name in (path.name, f"dataset.{path.stem}", "dataset.people")
            assert option in sentence
            if path.parent.name != "benchmarks":  # which time what they can
                sentences.add(sentence)
        assert len(sentences) <= 1, sentences


def test_an_empty_value_is_refused_by_every_option(
    parsers: dict[Path, argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    """Else `--restore-from "$UNSET"` would train from chance, and `--snapshot-dir ""` write into the current folder."""
    for parser in parsers.values():
        for option in (action.option_strings[-1] for action in parser._actions if action.nargs != 0):
            for arguments in ([option, ""], [f"{option}="]):
                with pytest.raises(SystemExit) as caught:
                    parser.parse_args(arguments)
                assert caught.value.code == 2
                assert f"{option}: its value is empty" in capsys.readouterr().err


def test_every_option_with_a_number_is_in_the_table(parsers: dict[Path, argparse.ArgumentParser]) -> None:
    """Whoever adds one says what it cannot be; benchmarks have more of their own."""
    for path, parser in ((path, parser) for path, parser in parsers.items() if path.parent.name != "benchmarks"):
        for action in parser._actions:
            if action.type not in (None, str, Path) and not action.choices:
                assert set(action.option_strings) & set(BAD), (path, action.option_strings)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"scales": (float("nan"),)}, "scales: nan is not a number from 0.25 to 4"),
        ({"scales": ()}, "scales: these are 0 scales; give 1 to 16"),
        ({"scales": (1.0,) * 10_000}, "scales: these are 10000 scales; give 1 to 16"),
        ({"scales": 1.0}, "scales: 1.0 is not a list of scales"),
        ({"scales": ("big",)}, "scales: ('big',) is not a list of scales"),
        ({"batch_size": 0}, "batch_size: 0 is not between 1 and 1024"),
        ({"batch_size": 2.5}, "batch_size: 2.5 is not a whole number"),
        ({"batch_size": 10**30}, "batch_size: 1000000000000000000000000000000 is not between 1 and 1024"),
    ],
)
def test_in_python_the_parser_says_the_same(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        tiny_parser().predict(np.zeros((8, 8, 3), np.uint8), **given)


@pytest.mark.parametrize("size", [(64, 473), (473, 10**400), (473,), (1.5, 473), "473"])
def test_a_crop_has_the_same_bounds_in_the_network_the_config_and_the_options(size: Any) -> None:
    with pytest.raises(OptionError) as option:
        size_option(size)
    with pytest.raises(ValueError, match=r"^--input-size: ") as config:
        TrainConfig(data_dir="lip", input_size=size)
    assert str(config.value) == f"--input-size: {option.value}"
    with pytest.raises(ValueError, match="input size"):
        CSENet(20, size)
    assert size_option("4096,65") == (4096, 65) == TrainConfig(data_dir="x", input_size=(4096, 65)).input_size


def test_values_at_the_bounds_are_taken() -> None:
    assert (Whole(0, 5)("0"), Whole(0, 5)(5), Number("from 0 to 1", 0, 1)("1")) == (0, 5, 1.0)
    assert checked("seed", SEED, 2**63 - 1) == torch.Generator().manual_seed(2**63 - 1).initial_seed()
    assert scales_option("0.25,1,4") == (0.25, 1.0, 4.0)
    TrainConfig(data_dir="lip", momentum=0, weight_decay=0, power=0, num_workers=0, learning_rate=1e-300)


def test_drawn_people_have_a_size(tmp_path: Path) -> None:
    for size in ((31, 64), (64, 4097), (64,)):
        with pytest.raises(ValueError, match=r"size: .*(is not between 32 and 4096|is not a size)"):
            make_dataset(tmp_path / "people", size=size)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("device", ["mps", "mps:0"])
def test_mps_is_for_prediction_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_option(device, for_prediction=True) == device
    with pytest.raises(OptionError, match="is for prediction"):
        device_option(device)


def test_half_precision_is_not_for_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "--amp fp16 needs a GPU; use --amp bf16 or --amp off on the CPU"
    with pytest.raises(ValueError, match=sentence):
        HumanParser.from_checkpoint("nowhere.pth", "cpu", "fp16")
    with pytest.raises(ValueError, match=sentence):
        TorchEngine(tiny_network(), torch.device("cpu"), amp="fp16")
    with pytest.raises(ValueError, match=sentence):
        TrainConfig(data_dir="lip", amp="fp16").resolve(Processes(0, 1, 1, torch.device("cpu")))
