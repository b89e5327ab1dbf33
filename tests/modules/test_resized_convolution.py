"""The convolution of an enlarged map against enlarging it and convolving the result."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modules.layers import resize
from modules.resized_convolution import conv3x3_of_resized

SIDES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def plain(small: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    return F.conv2d(resize(small, size), weight, padding=1)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 2), small=SIDES, size=st.tuples(*[st.integers(1, 13)] * 2))
def test_values_and_gradients_are_those_of_resizing_and_convolving(
    seed: int, n: int, small: tuple[int, int], size: tuple[int, int]
) -> None:
    """Enlarged, shrunk, of the same size, from and to a single row or column."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    inputs = draw(n, 3, *small), draw(4, 3, 3, 3)
    upstream = draw(n, 4, *size).detach()
    actual, expected = conv3x3_of_resized(*inputs, size), plain(*inputs, size)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    gradients = torch.autograd.grad(actual, inputs, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, upstream), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_lower_precision_is_about_as_close_as_resizing_and_convolving(dtype: torch.dtype) -> None:
    small, weight = torch.randn(2, 16, 8, 6, dtype=torch.float64), torch.randn(4, 16, 3, 3, dtype=torch.float64)
    exact = plain(small, weight, (31, 23))
    ours, theirs = (f(small.to(dtype), weight.to(dtype), (31, 23)).double() for f in (conv3x3_of_resized, plain))
    assert (ours - exact).norm() <= 2 * (theirs - exact).norm()


def test_nothing_of_the_enlarged_map_is_kept_for_the_gradient() -> None:
    small, weight = torch.randn(1, 16, 4, 4, requires_grad=True), torch.randn(2, 16, 3, 3, requires_grad=True)
    largest = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        conv3x3_of_resized(small, weight, (32, 32))
    assert largest < 16 * 32 * 32
