"""The training loss of CSENet: parsing (cross entropy and Lovász-softmax), edges, class distributions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset import IGNORE_LABEL
from dataset.targets import distribution_targets, edge_targets
from modules.layers import resize
from networks.csenet import CSENetOutput

PARSING_WEIGHTS = {"coarse": 0.4, "body": 1.0, "final": 1.0}
DISTRIBUTION_WEIGHT = 45.0


class CSENetLoss(nn.Module):
    """Compare the six outputs with a batch of label maps.

    total = 0.4 P(coarse) + P(body) + P(final) + edge + 45 (rows + cols), where P = cross entropy + Lovász-softmax
    of the logits resized to the labels. It is computed in float32 at least, also under autocast, and is zero, with
    zero gradient, where a batch gives a term nothing to learn from (everything ignored, no edge at all).

    Args:
        num_classes: K.
        has_background: class 0 is the background, which the distribution terms leave out (False for ADE20K).
    """

    def __init__(self, num_classes: int, *, has_background: bool = True) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.has_background = has_background

    def forward(self, out: CSENetOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Compare with labels (N, H, W) of 0..K-1 and 255 = ignore, any integer type.

        Returns the total and its terms before their weights: coarse_ce, coarse_lovasz, body_ce, body_lovasz, final_ce,
        final_lovasz, edge, rows, cols.
        """
        with torch.autocast(labels.device.type, enabled=False):
            return self._compare(out, labels)

    def _compare(self, out: CSENetOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        size = labels.shape[-2:]
        dtype = torch.promote_types(out.final.dtype, torch.float32)
        logits = [resize(getattr(out, name).to(dtype), size) for name in PARSING_WEIGHTS]
        log_probabilities = torch.stack([z.log_softmax(dim=1) for z in logits])
        cross_entropies = parsing_cross_entropy(log_probabilities, labels)
        lovasz = lovasz_softmax(log_probabilities.exp(), labels)
        terms: dict[str, Tensor] = {}
        for name, ce, lov in zip(PARSING_WEIGHTS, cross_entropies, lovasz, strict=True):
            terms |= {f"{name}_ce": ce, f"{name}_lovasz": lov}
        terms["edge"] = edge_cross_entropy(resize(out.edge.to(dtype), size), edge_targets(labels))
        row_target, column_target = distribution_targets(labels, self.num_classes, has_background=self.has_background)
        terms["rows"] = _distribution_error(out.rows.to(dtype), row_target)
        terms["cols"] = _distribution_error(out.cols.to(dtype), column_target)
        return total_loss(terms), terms


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    """Weigh and add the named terms of `CSENetLoss`."""
    parsing = sum(weight * (terms[f"{name}_ce"] + terms[f"{name}_lovasz"]) for name, weight in PARSING_WEIGHTS.items())
    return parsing + terms["edge"] + DISTRIBUTION_WEIGHT * (terms["rows"] + terms["cols"])


def parsing_cross_entropy(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy over the pixels that are not 255, for each of M outputs at once.

    log_probabilities (M, N, K, H, W), labels (N, H, W); returns (M,).
    """
    valid = labels != IGNORE_LABEL
    index = labels.long().masked_fill(~valid, 0)[None, :, None]
    picked = log_probabilities.gather(2, index.expand(log_probabilities.shape[0], -1, -1, -1, -1)).squeeze(2)
    return -(picked * valid).sum(dim=(1, 2, 3)) / valid.sum().clamp(min=1)


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the Lovász-softmax loss (Berman, Triki, Blaschko, CVPR 2018) for each of M outputs at once.

    probabilities (M, N, K, H, W), labels (N, H, W) with 255 = ignore; over all valid pixels of the batch together,
    averaged over the classes present in the labels (zero if there is none). Returns (M,).
    """
    classes = torch.arange(probabilities.shape[2], device=labels.device)
    labels = labels.flatten()
    members = labels == classes[:, None]  # (K, pixels)
    probabilities = probabilities.movedim(2, 1).flatten(2)  # (M, K, pixels)
    # Ignored pixels get the smallest error, 0. Nothing sorted after them has any error either, so what they add to
    # the counts there is multiplied by zero.
    errors = (members.to(probabilities.dtype) - probabilities).abs() * (labels != IGNORE_LABEL)
    errors, order = errors.sort(dim=-1, descending=True)
    members = members.expand_as(order).gather(-1, order)
    gradient = _jaccard_gradient(members, errors.dtype)
    per_class = (errors * gradient).sum(dim=-1)  # (M, K)
    present = members.any(dim=-1)
    return (per_class * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)


def _jaccard_gradient(members: Tensor, dtype: torch.dtype) -> Tensor:
    """Return by how much the Jaccard loss grows when the i-th largest error joins the mistaken pixels.

    members (..., P) says which of the pixels, in that order, belong to the class. With the union and the
    intersection after the i-th, a member adds 1 / union and another pixel intersection / (union (union - 1)): the
    differences of the Jaccard index in closed form, which lose no digits to cancellation.
    """
    # Counted in integers: exact for any number of pixels, and deterministic on GPUs.
    found = members.cumsum(dim=-1, dtype=torch.int32)
    size = found[..., -1:]
    others = torch.arange(1, members.shape[-1] + 1, device=members.device, dtype=torch.int32) - found
    union = (size + others).to(dtype)
    return torch.where(members, 1.0, (size - found) / (union - 1).clamp(min=1)) / union


def edge_cross_entropy(logits: Tensor, edges: Tensor) -> Tensor:
    """Return the cross entropy of edge logits (N, 2, H, W), weighed so that edges and the rest count alike.

    Weights, counted over the batch: for not-edge the share of edge pixels, for edge the share of the others.
    edges (N, H, W) is 0 or 1. Zero where only one of the two occurs.
    """
    is_edge = edges.to(torch.bool)
    share = is_edge.to(logits.dtype).mean()
    weights = torch.where(is_edge, 1 - share, share)
    losses = F.cross_entropy(logits, edges.long(), reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(logits.dtype).tiny)


def _distribution_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error after stretching the prediction (N, K, bins) to the target (N, K, length)."""
    stretched = F.interpolate(predicted, size=target.shape[-1], mode="linear", align_corners=True)
    return (stretched - target.to(stretched.dtype)).square().mean()
