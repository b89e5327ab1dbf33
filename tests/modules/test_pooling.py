"""Pooling into bins against PyTorch's adaptive average pooling."""

import pytest
import torch
import torch.nn.functional as F

from modules.pooling import bin_means


@pytest.mark.parametrize("bins", [1, 3, 24, 118])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 24, 30, 118, 119])
def test_equals_adaptive_average_pooling(length: int, bins: int) -> None:
    x = torch.randn(2, 4, length, dtype=torch.float64)
    torch.testing.assert_close(bin_means(x, bins), F.adaptive_avg_pool1d(x, bins), rtol=0, atol=1e-14)


def test_keeps_the_type_and_is_exact_where_halves_are() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.bfloat16)
    assert bin_means(x, 2).tolist() == [[1.5, 3.0]]
    assert bin_means(x, 2).dtype == torch.bfloat16
