"""Cross entropy and Lovász-softmax with their own gradient, against the plain ones that autograd differentiates."""

import math
import time
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.golden.recorded import label_maps
from tests.plain_losses import full_sort_lovasz, plain_lovasz, plain_parsing_loss
from utils import parsing_loss as module
from utils.parsing_loss import lovasz_softmax, lovasz_softmax_by_class, parsing_loss

K = 5
BOTH = pytest.mark.parametrize("lovasz", [lovasz_softmax, lovasz_softmax_by_class], ids=["at once", "by class"])
Lovasz = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def ignore(label: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return label.masked_fill(torch.rand(label.shape, generator=generator) < share, 255)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(2, 6),
    pixels=st.integers(1, 60),
    ignored=st.sampled_from([0.0, 0.3, 1.0]),
    spread=st.floats(0.1, 3),
)
def test_lovasz_equals_the_plain_one_in_value_and_derivative(
    seed: int, k: int, pixels: int, ignored: float, spread: float
) -> None:
    """Random probabilities hold no ties, and no errors of 0, where the derivative would be a matter of taste."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = (spread * torch.randn(k, pixels, dtype=torch.float64, generator=generator)).softmax(0)
    label = ignore(torch.randint(0, k, (pixels,), generator=generator), ignored, generator)
    value, slopes = lovasz_softmax_by_class(probabilities, label)
    probabilities.requires_grad_()
    expected = plain_lovasz(probabilities[None, :, None], label)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    (plain,) = torch.autograd.grad(expected, probabilities)
    torch.testing.assert_close(slopes, plain, rtol=1e-10, atol=1e-12)


@BOTH
@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 80)),
    ignored=st.sampled_from([0.0, 0.3]),
    steps=st.sampled_from([1, 2, 16, 2**23]),
)
def test_pruning_changes_no_bit_of_a_derivative_not_even_where_errors_are_equal(
    lovasz: Lovasz, seed: int, sizes: tuple[int, int], ignored: float, steps: int
) -> None:
    """Errors of few steps: many are equal, many are exactly 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randint(0, steps + 1, sizes, generator=generator) / steps
    label = ignore(torch.randint(0, sizes[0], (sizes[1],), generator=generator), ignored, generator)
    value, slopes = lovasz(probabilities, label)
    expected, all_slopes = full_sort_lovasz(probabilities, label)
    torch.testing.assert_close(value, expected)
    assert torch.equal(slopes, all_slopes)


def test_only_pixels_with_an_error_of_at_least_the_smallest_of_their_class_are_sorted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probabilities = torch.randn(K, 400).softmax(0)
    label = ignore(torch.randint(0, K, (400,)), 0.2, torch.Generator().manual_seed(1))
    indices, counts = module._indices, []

    def counting(left: Tensor) -> Tensor:
        counts.append(int(left.sum()))
        return indices(left)

    monkeypatch.setattr(module, "_indices", counting)
    lovasz_softmax_by_class(probabilities, label)
    expected = []
    for c in range(K):
        of_class, others = probabilities[c, label == c], probabilities[c, (label != c) & (label != 255)]
        expected.append(len(of_class) + int((others >= (1 - of_class).min()).sum()))
    assert counts == expected
    assert sum(counts) < K * 400 / 2
    counts.clear()
    lovasz_softmax(probabilities, label)
    assert counts == [sum(expected)]


@BOTH
def test_lovasz_of_perfect_and_opposite_predictions(lovasz: Lovasz) -> None:
    label = torch.tensor([0, 1, 1, 255])
    perfect = torch.nn.functional.one_hot(label % 255, 3).T.float().contiguous()
    assert lovasz(perfect, label)[0] == 0
    opposite = perfect.flip(0).roll(1, 0)
    assert lovasz(opposite, label)[0] == pytest.approx(plain_lovasz(opposite[None, :, None], label).item())


def with_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.detach().requires_grad_()
    value = loss(logits)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    ignored=st.sampled_from([0.0, 0.5, 1.0]),
    spread=st.floats(0.1, 8),
)
def test_both_losses_and_the_gradient_equal_the_plain_ones(
    seed: int, shape: tuple[int, int, int, int], size: tuple[int, int], ignored: float, spread: float
) -> None:
    """Resized up and down, of one row or column, with classes that are absent."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(shape, dtype=torch.float64, generator=generator)
    label = ignore(torch.randint(0, shape[1], (shape[0], *size), generator=generator), ignored, generator)
    for actual, expected in zip(parsing_loss(logits, label)[1:], plain_parsing_loss(logits, label), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    value, gradient = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    expected, plain = with_gradient(lambda z: sum(plain_parsing_loss(z, label), start=z.new_zeros(())), logits)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-12)
    # A map enlarged from a single row has ties: the order within them moves slopes about, but adds none.
    if min(shape[2:]) > 1 and min(size) > 1:
        torch.testing.assert_close(gradient, plain, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("spread", [1, 30])
def test_float32_is_as_close_to_the_exact_gradient_as_the_plain_loss(spread: float) -> None:
    """Also where the network is so sure of itself that the smallest error of a class is 0, and nothing is pruned."""
    label = label_maps(3, 2, 97, 97, K).long()
    logits = torch.randn(2, K, 25, 25)
    logits += spread * torch.nn.functional.one_hot(label[:, ::4, ::4] % 255 % K, K).movedim(-1, 1)
    exact_value, exact = with_gradient(lambda z: parsing_loss(z, label)[0], logits.double())
    value, gradient = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    _, plain = with_gradient(lambda z: sum(plain_parsing_loss(z, label), start=z.new_zeros(())), logits)
    assert value.item() == pytest.approx(exact_value.item(), rel=1e-6)
    assert (gradient - exact).norm() < 1.5 * (plain - exact).norm() + 1e-7 * exact.norm()


def test_the_gradient_is_scaled_by_what_becomes_of_the_loss() -> None:
    label, logits = label_maps(3, 2, 33, 33, K), torch.randn(2, K, 9, 9)
    _, gradient = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    _, scaled = with_gradient(lambda z: 0.3 * parsing_loss(z, label)[0] + 0.7 * parsing_loss(z, label)[0] / 2, logits)
    torch.testing.assert_close(scaled, 0.65 * gradient)


def test_the_layout_of_the_logits_changes_nothing() -> None:
    label, logits = label_maps(3, 2, 33, 33, K), torch.randn(2, K, 9, 9)
    value, gradient = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    channels_last = logits.contiguous(memory_format=torch.channels_last)
    for other in (channels_last, logits.repeat(1, 2, 1, 1)[:, :K]):
        again, again_gradient = with_gradient(lambda z: parsing_loss(z, label)[0], other)
        assert again == value
        assert torch.equal(again_gradient, gradient)


@pytest.mark.parametrize("place", [(0, 20), (0, 0)], ids=["labelled", "ignored"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@BOTH
def test_logits_that_are_not_finite_give_a_loss_that_is_not(
    lovasz: Lovasz, value: float, place: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training stops at such a loss; a loss that hides it would ruin the weights. Also where all is ignored."""
    monkeypatch.setattr(module, "lovasz_softmax_by_class", lovasz)
    label = label_maps(3, 1, 33, 33, K)
    label[:, :8, :8] = 255
    logits = torch.randn(1, K, 33, 33)
    logits[0, 2][place] = value
    loss, gradient = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    assert not loss.isfinite()
    assert not gradient.isfinite().all()


@pytest.mark.parametrize("k", [1, 2])
def test_what_is_not_a_number_leads_to_no_index_outside(k: int) -> None:
    """On a GPU that would end the process without a word about the loss."""
    probabilities = torch.full((k, 8), 1 / k)
    for sign in (1, -1):
        probabilities[0, 3] = math.copysign(math.nan, sign)
        _, slopes = lovasz_softmax(probabilities, torch.arange(8) % k)
        assert slopes.isfinite().all()


class LargestTensor(TorchDispatchMode):
    """Remembers the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_nothing_larger_than_one_map_is_made_and_nothing_larger_than_the_logits_is_kept() -> None:
    label, logits = label_maps(3, 2, 97, 97, K), torch.randn(2, K, 25, 25, requires_grad=True)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), LargestTensor() as largest:
        parsing_loss(logits, label)
    assert largest.elements == 2 * K * 97 * 97
    assert sum(kept) == logits.nbytes


def test_150_classes_take_no_python_loop_on_other_devices() -> None:
    """The number of operations, of which a GPU must be told each, does not depend on the number of classes."""

    def operations(k: int) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            lovasz_softmax(torch.randn(k, 50).softmax(0), torch.randint(0, k, (50,)))
        return sum(event.count for event in profile.key_averages())

    assert operations(150) == operations(5)


def test_150_classes_are_no_slower_than_their_pixels() -> None:
    label, logits = label_maps(3, 2, 48, 64, 150), torch.randn(2, 150, 12, 16)
    started = time.perf_counter()
    with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    assert time.perf_counter() - started < 10  # about a twentieth of a second


def test_deterministic_algorithms_suffice_and_give_the_same_bits() -> None:
    label, logits = label_maps(3, 2, 97, 97, K), torch.randn(2, K, 25, 25)
    first = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    torch.use_deterministic_algorithms(True)
    try:
        second = with_gradient(lambda z: parsing_loss(z, label)[0], logits)
    finally:
        torch.use_deterministic_algorithms(False)
    assert first[0] == second[0]
    assert torch.equal(first[1], second[1])
