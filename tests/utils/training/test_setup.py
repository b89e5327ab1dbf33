"""What happens before the first step."""

import pytest
import torch

from utils.training.setup import choose_algorithms


@pytest.mark.parametrize(("amp", "tried"), [("off", True), ("bf16", False), ("fp16", False)])
def test_cudnn_tries_algorithms_only_where_that_gains(amp: str, tried: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not tried)
    choose_algorithms(deterministic=False, amp=amp, device=torch.device("cuda"))
    assert torch.backends.cudnn.benchmark is tried
