"""CropParser on the CPU: how crops and cores are matched, and what PyTorch is left with."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from tests.support.tiny_parser import CROP, tiny_network
from utils.inference.cpu_threads import cpu_threads
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine

CPU = torch.device("cpu")


class CountingEngine:
    """Notes with how many threads each call computes; its logits are the images."""

    device = CPU

    def __init__(self) -> None:
        self.threads: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.threads.append(torch.get_num_threads())
        return images


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    """Let PyTorch have three threads here, whatever the machine has; other tests compute with as many as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def crops(count: int) -> Tensor:
    return torch.randint(256, (count, 3, *CROP), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("count", "deterministic", "expected"),
    [(1, False, 4), (2, False, 2), (3, False, 1), (9, False, 1), (1, True, 1), (9, True, 1)],
)
def test_a_single_crop_has_all_cores_and_several_share_them(count: int, deterministic: bool, expected: int) -> None:
    engine = CountingEngine()
    CropParser(engine, deterministic=deterministic, cores=4).classes(crops(count))
    assert engine.threads == [expected] * count


def test_deterministic_logits_have_the_same_bits_whatever_the_batch_and_the_cores() -> None:
    engine, images = TorchEngine(tiny_network(), CPU), crops(5)
    expected = CropParser(engine, deterministic=True, cores=1).logits(images)
    for cores, size in ((1, 1), (2, 5), (4, 2)):
        parser = CropParser(engine, deterministic=True, cores=cores)
        assert torch.equal(torch.cat([parser.logits(part) for part in images.split(size)]), expected)


def test_all_cores_give_the_logits_of_one_core_but_for_rounding() -> None:
    engine, images = TorchEngine(tiny_network(), CPU), crops(3)
    expected = CropParser(engine, deterministic=True, scales=(0.75, 1.25)).logits(images)
    shared = CropParser(engine, cores=4, scales=(0.75, 1.25)).logits(images)
    torch.testing.assert_close(shared, expected, rtol=0, atol=1e-4)


def test_pytorchs_threads_are_left_as_they_were_also_after_an_error() -> None:
    class Failing(CountingEngine):
        def __call__(self, images: Tensor) -> Tensor:
            raise RuntimeError("no logits today")

    CropParser(CountingEngine(), cores=4).classes(crops(2))
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)
    with pytest.raises(RuntimeError, match="no logits today"):
        CropParser(Failing(), deterministic=True).classes(crops(2))
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)


def test_parsers_that_overlap_leave_pytorch_its_threads() -> None:
    """The second began while the first had set one thread, took that for the process's number, and restored it."""
    first_is_computing, second_has_come = threading.Event(), threading.Event()

    class Waiting(CountingEngine):
        def __call__(self, images: Tensor) -> Tensor:
            first_is_computing.set()
            assert second_has_come.wait(10)
            return super().__call__(images)

    found: list[int] = []

    def second() -> None:
        first_is_computing.wait(10)
        found.append(torch.get_num_threads())
        second_has_come.set()
        CropParser(CountingEngine(), deterministic=True).classes(crops(1))
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=second)
    thread.start()
    CropParser(Waiting(), deterministic=True).classes(crops(1))
    thread.join()
    assert found == [3, 3]
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)


def test_each_thread_of_a_pool_computes_on_its_cores() -> None:
    with cpu_threads(workers=2, cores_each=5) as pool:
        assert set(pool.map(lambda _: torch.get_num_threads(), range(8))) == {5}
        assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)


def test_pools_inside_a_pool_have_the_cores_of_its_threads() -> None:
    def inner(_: int) -> set[int]:
        with cpu_threads(workers=2, cores_each=2) as pool:
            return {torch.get_num_threads(), *pool.map(lambda _: torch.get_num_threads(), range(4))}

    with cpu_threads(workers=3, cores_each=4) as pool:
        assert all(threads == {4, 2} for threads in pool.map(inner, range(30)))
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (3, 3)


@pytest.mark.parametrize(("images", "threads", "expected"), [(1, 4, [(1, 4)]), (2, 5, [(1, 2)] * 2), (3, 1, [(3, 1)])])
def test_the_images_of_a_batch_share_the_threads(images: int, threads: int, expected: list[tuple[int, int]]) -> None:
    engine, calls = TorchEngine(tiny_network(), CPU), []
    engine.model.register_forward_pre_hook(lambda _, args: calls.append((len(args[0]), torch.get_num_threads())))
    batch = torch.randn(images, 3, *CROP)
    with cpu_threads(workers=1, cores_each=threads) as pool:
        logits = pool.submit(engine, batch).result()
    assert calls == expected
    torch.testing.assert_close(logits, torch.cat([engine(image) for image in batch.split(1)]), rtol=0, atol=1e-4)
