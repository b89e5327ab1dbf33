"""Every term of the loss against a plain formula, and batches that teach some of them nothing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dataset.targets import distribution_targets, edge_targets
from networks import CSENetOutput
from tests.golden.recorded import label_maps
from tests.plain_losses import plain_parsing_loss
from utils.losses import CSENetLoss, edge_cross_entropy

K = 5
TERMS = [
    "coarse_ce",
    "coarse_lovasz",
    "body_ce",
    "body_lovasz",
    "final_ce",
    "final_lovasz",
    "edge",
    "rows",
    "cols",
]


def outputs(n: int = 2, num_classes: int = K, dtype: torch.dtype = torch.float32) -> CSENetOutput:
    """Return random outputs as of a network for 48 x 64 images; leaves that take gradients."""
    shapes = {
        "coarse": (n, num_classes, 3, 4),
        "body": (n, num_classes, 12, 16),
        "final": (n, num_classes, 12, 16),
        "edge": (n, 2, 12, 16),
        "rows": (n, num_classes, 12),
        "cols": (n, num_classes, 16),
    }
    drawn = {name: torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    drawn["rows"], drawn["cols"] = drawn["rows"].sigmoid(), drawn["cols"].sigmoid()
    return CSENetOutput(**{name: x.to(dtype).requires_grad_() for name, x in drawn.items()})


def labels(n: int = 2, num_classes: int = K) -> Tensor:
    return label_maps(3, n, 48, 64, num_classes)


def gradients(total: Tensor, out: CSENetOutput) -> dict[str, Tensor]:
    """Return the gradient of every output; zeros where none flows."""
    grads = torch.autograd.grad(total, list(out), allow_unused=True)
    return {
        name: torch.zeros_like(x) if grad is None else grad
        for name, x, grad in zip(CSENetOutput._fields, out, grads, strict=True)
    }


def weigh(terms: dict[str, Tensor]) -> Tensor:
    """Add the terms as the specification says."""
    return (
        0.4 * (terms["coarse_ce"] + terms["coarse_lovasz"])
        + (terms["body_ce"] + terms["body_lovasz"])
        + (terms["final_ce"] + terms["final_lovasz"])
        + terms["edge"]
        + 45 * (terms["rows"] + terms["cols"])
    )


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_edge_cross_entropy_is_that_of_torch_with_weights_of_the_batch(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 2, 6, 7, dtype=torch.float64, generator=generator).requires_grad_()
    edges = (torch.rand(2, 6, 7, generator=generator) < share).to(torch.uint8)
    edges[0, 0, :2] = torch.tensor([0, 1])
    positive, negative = (edges == 1).sum().double(), (edges == 0).sum().double()
    weights = torch.stack([positive, negative]) / (positive + negative)
    value = edge_cross_entropy(logits, edges)
    expected = F.cross_entropy(logits, edges.long(), weights)
    torch.testing.assert_close(value, expected)
    (gradient,) = torch.autograd.grad(value, logits)
    (plain,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, plain)


@pytest.mark.parametrize("has_background", [True, False])
def test_total_and_each_term_equal_the_specification(has_background: bool) -> None:
    out, label = outputs(dtype=torch.float64), labels()
    total, terms = CSENetLoss(K, has_background=has_background)(out, label)

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, (48, 64), mode="bilinear", align_corners=True)

    edges = edge_targets(label).long()
    row_target, column_target = distribution_targets(label, K, has_background=has_background)
    expected = {}
    for name in ("coarse", "body", "final"):
        expected[f"{name}_ce"], expected[f"{name}_lovasz"] = plain_parsing_loss(getattr(out, name), label)
    share = edges.double().mean()
    expected["edge"] = F.cross_entropy(up(out.edge), edges, torch.stack([share, 1 - share]))
    for name, length, target in (("rows", 48, row_target), ("cols", 64, column_target)):
        stretched = F.interpolate(getattr(out, name), length, mode="linear", align_corners=True)
        expected[name] = ((stretched - target.double()) ** 2).mean()
    assert list(terms) == TERMS
    for name in TERMS:
        torch.testing.assert_close(terms[name], expected[name], rtol=1e-10, atol=0, msg=name)
    weighted = weigh(expected)
    torch.testing.assert_close(total, weighted, rtol=1e-10, atol=0)
    ours, plain = gradients(total, out), gradients(weighted, out)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-8, atol=1e-12, msg=name)


def test_terms_are_for_the_record_and_only_the_total_leads_back() -> None:
    """A loss put together from the terms would silently miss the gradient of some, so it has that of none."""
    total, terms = CSENetLoss(K)(outputs(), labels())
    assert total.requires_grad
    assert not any(term.requires_grad for term in terms.values())


def all_ignored(label: Tensor) -> Tensor:
    return torch.full_like(label, 255)


def one_class(label: Tensor) -> Tensor:
    return torch.full_like(label, 3)


def one_pixel(label: Tensor) -> Tensor:
    label = torch.full_like(label, 255)
    label[0, 20, 30] = 2
    return label


def all_edges(label: Tensor) -> Tensor:
    """A chequerboard: every pixel differs from its neighbours."""
    y, x = torch.meshgrid(torch.arange(label.shape[1]), torch.arange(label.shape[2]), indexing="ij")
    return ((y + x) % 2 + 1).to(label.dtype).expand_as(label)


@pytest.mark.parametrize("case", [all_ignored, one_class, one_pixel, all_edges])
@pytest.mark.parametrize("n", [1, 2])
def test_batches_that_teach_a_term_nothing_give_finite_values_and_gradients(
    case: Callable[[Tensor], Tensor], n: int
) -> None:
    out, label = outputs(n), case(labels(n))
    total, terms = CSENetLoss(K)(out, label)
    assert total.isfinite()
    gradient_of = gradients(total, out)
    for name, gradient in gradient_of.items():
        assert gradient.isfinite().all(), name
    for name, term in terms.items():
        assert term.isfinite(), name
        assert term >= 0, name
    assert terms["edge"] == 0  # only one of the two kinds of pixels occurs
    for name in ("coarse", "body", "final"):
        nothing = case is all_ignored
        assert (terms[f"{name}_ce"] == 0) == nothing
        assert (terms[f"{name}_lovasz"] == 0) == nothing
    assert gradient_of["edge"].count_nonzero() == 0
    assert (gradient_of["final"].count_nonzero() == 0) == (case is all_ignored)


def test_logits_without_bound_stay_finite() -> None:
    out = CSENetOutput(*(1e4 * x.detach() for x in outputs()))
    out = CSENetOutput(*(x.clamp(0, 1) if name in ("rows", "cols") else x for name, x in out._asdict().items()))
    out = CSENetOutput(*(x.requires_grad_() for x in out))
    total, _ = CSENetLoss(K)(out, labels())
    assert total.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(total, out).values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_outputs_give_a_float32_loss_also_under_autocast(dtype: torch.dtype) -> None:
    out, label = outputs(dtype=dtype), labels()
    expected, _ = CSENetLoss(K)(CSENetOutput(*(x.detach().float() for x in out)), label)
    with torch.autocast("cpu", dtype):
        total, terms = CSENetLoss(K)(out, label)
    assert all(term.dtype == torch.float32 for term in (total, *terms.values()))
    torch.testing.assert_close(total, expected)
    for name, gradient in gradients(total, out).items():
        assert gradient.dtype == dtype
        assert gradient.isfinite().all(), name
        assert gradient.count_nonzero() > 0, name


def test_float64_stays_float64() -> None:
    total, terms = CSENetLoss(K)(outputs(dtype=torch.float64), labels())
    assert all(term.dtype == torch.float64 for term in (total, *terms.values()))


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.int64], ids=str)
def test_every_integer_type_of_label_gives_the_same(dtype: torch.dtype) -> None:
    out, label = outputs(), labels()
    expected, _ = CSENetLoss(K)(out, label)
    total, _ = CSENetLoss(K)(out, label.to(dtype))
    assert total == expected


def test_mixup_of_losses_is_the_loss_of_permuted_labels() -> None:
    """0.7 loss(labels) + 0.3 loss(labels[perm]): with all targets computed from labels, permuting these is enough."""
    out, label = outputs(4, dtype=torch.float64), labels(4)
    order = torch.tensor([2, 0, 3, 1])
    loss = CSENetLoss(K)
    straight, terms = loss(out, label)
    permuted, permuted_terms = loss(out, label[order])
    mixed = {name: 0.7 * terms[name] + 0.3 * permuted_terms[name] for name in TERMS}
    torch.testing.assert_close(weigh(mixed), 0.7 * straight + 0.3 * permuted)
    # Permuting images and labels alike changes nothing: the terms are means over the whole batch.
    again, _ = loss(CSENetOutput(*(x[order] for x in out)), label[order])
    torch.testing.assert_close(again, straight)


def test_inputs_are_left_as_they_were() -> None:
    out, label = outputs(), labels()
    before = [x.detach().clone() for x in out], label.clone()
    CSENetLoss(K)(out, label)
    assert all(torch.equal(a, b) for a, b in zip(out, before[0], strict=True))
    assert torch.equal(label, before[1])


def test_gradient_steps_lower_the_loss() -> None:
    label = labels()
    parameters = CSENetOutput(*(torch.zeros_like(x).requires_grad_() for x in outputs()))
    optimizer = torch.optim.Adam(list(parameters), lr=0.2)
    losses = []
    for _ in range(15):
        out = parameters._replace(rows=parameters.rows.sigmoid(), cols=parameters.cols.sigmoid())
        total, _ = CSENetLoss(K)(out, label)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[-1] < 0.7 * losses[0]
    assert np.isfinite(losses).all()
