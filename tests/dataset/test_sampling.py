"""Which images a step sees, in one process or several, from the start or from the middle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.sampling import TrainingBatches

Batches = list[list[tuple[int, int]]]


def steps(num_images: int, processes: int, batch_size: int, accumulate: int, epoch: int = 0) -> list[list[Batches]]:
    """Return [step][process][micro step], each a batch of keys."""
    ranks = [
        TrainingBatches(num_images, batch_size, accumulate=accumulate, rank=rank, world_size=processes, seed=3)
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start_at(epoch)
    batches = [list(rank) for rank in ranks]
    return [
        [batches[rank][step * accumulate : (step + 1) * accumulate] for rank in range(processes)]
        for step in range(ranks[0].steps_per_epoch)
    ]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 40), st.integers(0, 2))
def test_an_epoch_sees_every_image_at_most_once_and_no_step_is_incomplete(
    processes: int, batch_size: int, accumulate: int, more: int, epoch: int
) -> None:
    step_size = processes * batch_size * accumulate
    num_images = step_size + more
    seen = [
        key
        for step in steps(num_images, processes, batch_size, accumulate, epoch)
        for rank in step
        for batch in rank
        for key in batch
    ]
    assert len(seen) == len(set(seen)) == num_images // step_size * step_size
    assert {key[0] for key in seen} == {epoch}
    assert {key[1] for key in seen} <= set(range(num_images))


def test_two_processes_take_the_batches_that_one_accumulates() -> None:
    two, one = steps(21, 2, 3, 1), steps(21, 1, 3, 2)
    assert [[rank[0] for rank in step] for step in two] == [step[0] for step in one]
    assert len(two) == 3


def test_epochs_and_seeds_shuffle_differently() -> None:
    batches = TrainingBatches(50, 50, seed=1)
    first = [index for _, index in next(iter(batches))]
    batches.start_at(1)
    second = [index for _, index in next(iter(batches))]
    other = [index for _, index in next(iter(TrainingBatches(50, 50, seed=2)))]
    assert sorted(first) == sorted(second) == sorted(other) == list(range(50))
    assert first != second
    assert first != other
    assert first != sorted(first)


def test_an_epoch_can_be_continued_in_the_middle() -> None:
    batches = TrainingBatches(20, 2, accumulate=2, seed=1)
    batches.start_at(4)
    whole = list(batches)
    batches.start_at(4, first_step=3)
    assert list(batches) == whole[6:]
    assert len(batches) == len(whole) - 6


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5 training images do not fill one step of 6 .*--batch-size 3"):
        TrainingBatches(5, 3, world_size=2)
