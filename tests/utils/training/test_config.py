"""The options of train.py as a typed value."""

import dataclasses

import pytest
import torch

from utils.distributed import Processes
from utils.training.config import TrainConfig, parse_config

CPU = torch.device("cpu")


def test_an_option_that_is_not_given_has_the_published_value() -> None:
    assert parse_config(["--data-dir", "lip"]) == TrainConfig(data_dir="lip")


def test_options_arrive_with_their_types() -> None:
    text = "--data-dir lip --input-size 97x65 --batch-size 4 --learning-rate 1 --no-mixup --compile --depth 50"
    config = parse_config(text.split())
    assert config == TrainConfig(
        data_dir="lip", input_size=(97, 65), batch_size=4, learning_rate=1.0, mixup=False, compile=True, depth=50
    )
    assert isinstance(config.learning_rate, float)


def test_every_field_has_an_option_of_its_type() -> None:
    """Given as text, as a shell does, each value comes back as its field says."""
    given = dataclasses.asdict(TrainConfig(data_dir="lip"))
    given |= {"num_classes": 7, "ignore_label": 255, "num_workers": 3, "batch_size": 2, "input_size": "65,81"}
    given |= {"dataset": "lip", "restore_from": "a.pth", "device": "cpu", "amp": "off", "resume": "auto"}
    arguments: list[str] = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if not isinstance(value, bool):
            arguments += [f"--{flag}", str(value)]
        elif value:
            arguments += [f"--no-{flag}"]
        else:
            arguments += [f"--{flag}"]
    expected = {name: not value if isinstance(value, bool) else value for name, value in given.items()}
    assert dataclasses.asdict(parse_config(arguments)) == expected | {"input_size": (65, 81)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "--epochs: 0 is not between 1 and"),
        ({"val_batch_size": 0}, "--val-batch-size: 0 is not between 1 and"),
        ({"random_seed": -1}, "--random-seed: -1 is not between 0 and"),
    ],
)
def test_a_config_that_can_never_work_cannot_be_made(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(data_dir="lip", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("world_size", "accumulate", "expected"), [(1, 1, 16), (4, 1, 4), (2, 4, 2)])
def test_resolving_makes_sixteen_images_a_step_and_leaves_the_config_as_it_was(
    world_size: int, accumulate: int, expected: int
) -> None:
    config = TrainConfig(data_dir="lip", accumulate=accumulate)
    resolved = config.resolve(Processes(0, world_size, world_size, CPU))
    assert (resolved.batch_size, resolved.amp, config.batch_size) == (expected, "off", None)
    assert resolved.num_workers >= 1
    assert resolved.resolve(Processes(0, world_size, world_size, CPU)) == resolved


def test_sixteen_images_cannot_be_dealt_out_to_three() -> None:
    with pytest.raises(ValueError, match="cannot be divided over 3 processes"):
        TrainConfig(data_dir="lip").resolve(Processes(0, 3, 3, CPU))
