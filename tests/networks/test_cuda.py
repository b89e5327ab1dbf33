"""What needs a GPU: skipped, saying so, where there is none."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from dataset.targets import distribution_targets, edge_targets
from modules.layers import resize_matrix
from networks import CSENet, CSENetOutput
from tests.golden.recorded import label_maps, random_images
from tests.support.building import trainable_copy
from utils import parsing_loss
from utils.losses import CSENetLoss
from utils.metrics import ConfusionMatrix

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and this machine has none")


@pytest.fixture(scope="module")
def on_gpu(network: CSENet) -> CSENet:
    return trainable_copy(network).eval().cuda()


@pytest.fixture(autouse=True)
def _full_float32() -> Iterator[None]:
    """No TF32, so that float32 means float32."""
    flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = flags


def assert_close(out: CSENetOutput, expected: CSENetOutput, tolerance: float) -> None:
    for name, x, y in zip(CSENetOutput._fields, out, expected, strict=True):
        assert (x.float().cpu() - y).abs().max() <= tolerance, name


def test_outputs_are_those_of_the_cpu(network: CSENet, on_gpu: CSENet) -> None:
    images = random_images(0, (2, 3, 97, 129))
    with torch.no_grad():
        assert_close(on_gpu(images.cuda()), network(images), 1e-3)


def test_channels_last_is_equal(network: CSENet, on_gpu: CSENet) -> None:
    images = random_images(0, (2, 3, 97, 97))
    model = trainable_copy(on_gpu).eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert_close(model(images.cuda().to(memory_format=torch.channels_last)), network(images), 1e-3)


def test_bfloat16_autocast_is_close(network: CSENet, on_gpu: CSENet) -> None:
    images = random_images(0, (2, 3, 97, 97))
    with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
        out = on_gpu(images.cuda())
    with torch.no_grad():
        expected = network(images)
    for name, half, full in zip(CSENetOutput._fields, out, expected, strict=True):
        assert half.isfinite().all(), name
        assert (half.float().cpu() - full).square().mean().sqrt() < 0.05 * full.std() + 0.01, name


def test_compiled_by_inductor_is_close(network: CSENet, on_gpu: CSENet) -> None:
    images = random_images(0, (1, 3, 97, 97))
    with torch.no_grad():
        assert_close(torch.compile(on_gpu, fullgraph=True)(images.cuda()), network(images), 1e-3)


def test_training_step_is_that_of_the_cpu_and_waits_for_the_gpu_only_where_the_loss_must(
    network: CSENet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each map of logits, whose loss has to know how many entries are left to sort."""
    images, labels = random_images(2, (2, 3, 97, 97)), label_maps(3, 2, 97, 97)
    model = trainable_copy(network).eval()  # dropout would draw differently on a GPU
    expected, _ = CSENetLoss(20)(model(images), labels)
    model, images, labels = model.cuda(), images.cuda(), labels.cuda()
    waited = []

    def waiting(mask: Tensor) -> Tensor:
        waited.append(mask)
        torch.cuda.set_sync_debug_mode("default")
        indices = mask.nonzero().squeeze(1)
        torch.cuda.set_sync_debug_mode("error")
        return indices

    monkeypatch.setattr(parsing_loss, "_indices", waiting)
    torch.cuda.set_sync_debug_mode("error")
    try:
        total, _ = CSENetLoss(20)(model(images), labels)
        total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(waited) == 3
    assert total.item() == pytest.approx(expected.item(), rel=1e-4)


def test_targets_and_counts_are_those_of_the_cpu() -> None:
    labels = label_maps(3, 2, 97, 129)
    assert torch.equal(edge_targets(labels.cuda()).cpu(), edge_targets(labels))
    for on_gpu, on_cpu in zip(distribution_targets(labels.cuda(), 20), distribution_targets(labels, 20), strict=True):
        assert torch.equal(on_gpu.cpu(), on_cpu)
    prediction = label_maps(4, 2, 97, 129).clamp(max=19)
    matrices = ConfusionMatrix(20), ConfusionMatrix(20)
    matrices[0].update(prediction, labels)
    matrices[1].update(prediction.cuda(), labels.numpy())
    assert (matrices[0].matrix == matrices[1].matrix).all()


def test_matrices_are_kept_for_the_default_stream_alone() -> None:
    like = torch.zeros(3, device="cuda")
    kept = resize_matrix(6, 11, like=like)
    assert resize_matrix(6, 11, like=like) is kept
    with torch.cuda.stream(torch.cuda.Stream()):
        assert resize_matrix(6, 11, like=like) is not kept
