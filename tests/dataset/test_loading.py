"""Processes that read photographs: what is said where one is killed, or where they have no room."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dataset import crops
from dataset.command import CommandError, LostProcessError
from dataset.crops import EvaluationCrops, TrainingCrops, collate_evaluation, worker_init
from dataset.descriptions import BUILT_IN
from dataset.layouts import Sample
from dataset.loading import batches_of
from dataset.people import make_dataset
from tests.support.tiny_parser import tiny_network
from utils.distributed import Processes
from utils.evaluation.engine import evaluate
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine

LIP = BUILT_IN["lip"]
SAMPLES = [Sample(str(index), Path(f"photo_{index}.jpg"), None) for index in range(6)]
FATAL = "photo_3.jpg"


@pytest.fixture(autouse=True)
def _pytorch_watches_its_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loader whose process was killed ends the program, and PyTorch's watch with it; here there are more loaders.

    The next one's watch would report processes of this one that end late.
    """
    monkeypatch.setattr(torch.utils.data._utils.signal_handling, "_SIGCHLD_handler_set", False)
    yield
    for process in multiprocessing.active_children():
        process.join()


def read_all(monkeypatch: pytest.MonkeyPatch, end: "object") -> None:
    """Read photographs in two processes, of which one comes to an end at `FATAL`."""

    def read_image(path: Path) -> np.ndarray:
        if str(path) == FATAL:
            end()  # type: ignore[operator]
        return np.zeros((20, 20, 3), np.uint8)

    monkeypatch.setattr(crops, "read_image", read_image)
    dataset = EvaluationCrops(SAMPLES, LIP, input_size=(65, 65))
    context = multiprocessing.get_context("fork")  # with the function above
    loader = DataLoader(
        dataset,
        num_workers=2,
        collate_fn=collate_evaluation,
        worker_init_fn=worker_init,
        multiprocessing_context=context,
    )
    with batches_of(loader) as batches:
        assert len(list(batches)) == 6


def test_a_killed_process_is_named_with_its_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LostProcessError, match=r"killed, as Linux does .* it was at 'photo_3\.jpg'.*--num-workers"):
        read_all(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_process_that_fell_over_is_named_with_its_photograph(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LostProcessError, match=r"was ended \(.*\); it was at 'photo_3\.jpg'"):
        read_all(monkeypatch, lambda: os._exit(7))


@pytest.mark.parametrize(
    "words",
    [
        "unable to write to file </torch_12_3_4>: No space left on device (28)",
        "unable to allocate shared memory(shm) for file </torch_12_3_4>: Cannot allocate memory (12)",
    ],
)
def test_little_shared_memory_is_named(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def end() -> None:
        raise RuntimeError(words)

    with pytest.raises(CommandError, match=r"/dev/shm.*--shm-size 8g.*--num-workers 0") as caught:
        read_all(monkeypatch, end)
    assert caught.value.exit_status == 2


def test_a_bus_error_is_little_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the kernel says it: the file could be made, but its pages were not there."""
    with pytest.raises(CommandError, match=r"/dev/shm.*--shm-size 8g.*--num-workers 0"):
        read_all(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGBUS))


def test_shared_memory_that_is_full_before_the_first_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DataLoader, "__iter__", full)
    with pytest.raises(CommandError, match="--shm-size 8g"):
        read_all(monkeypatch, lambda: None)


def test_other_errors_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    loader: DataLoader[int] = DataLoader([1, 2])  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space left") as caught, batches_of(loader):
        raise OSError(errno.ENOSPC, "No space left on device", "log.jsonl")
    assert caught.value.filename == "log.jsonl"
    with pytest.raises(RuntimeError, match="sizes differ"), batches_of(loader):
        raise RuntimeError("sizes differ")


def test_an_evaluation_names_the_photograph_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path, num_train=1, num_val=3, size=(64, 48), workers=1)
    samples = [Sample(path.stem, path, None) for path in sorted((folder / "val_images").glob("*.jpg"))]

    def read_image(path: Path) -> np.ndarray:
        if path == samples[1].image_path:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros((20, 20, 3), np.uint8)

    monkeypatch.setattr(crops, "read_image", read_image)
    parser = CropParser(TorchEngine(tiny_network(), torch.device("cpu")))
    processes = Processes(0, 1, 1, torch.device("cpu"))
    with pytest.raises(LostProcessError, match=str(samples[1].image_path)):
        evaluate(parser, samples, LIP, processes, input_size=(65, 65), num_workers=1)


def test_crops_of_the_training_are_noted_by_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = TrainingCrops(SAMPLES, LIP, input_size=(65, 65), seed=0)
    noted: list[int] = []
    monkeypatch.setattr(dataset.at_hand, "note", noted.append)
    monkeypatch.setattr(crops, "read_sample", lambda *_: (np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8)))
    dataset[5, 2]
    assert noted == [2]
