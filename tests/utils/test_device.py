"""Where networks compute."""

import pytest
import torch

from utils.device import choose_device
from utils.distributed import start_processes


@pytest.mark.parametrize("device", ["meta", "vulkan", "xpu", "cpu:1", "mps", "cuda:99", "cuda:256", "toaster"])
def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """`meta` and `vulkan` are devices to PyTorch, and failed much later."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"'{device}'"):
        choose_device(device, for_prediction=True)


def test_mps_is_for_prediction_and_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("mps", for_prediction=True) == torch.device("mps")
    assert choose_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="train and evaluate on cpu or cuda"):
        start_processes("mps")
