"""The training loss of CSENet: parsing (cross entropy and Lovász-softmax), edges, class distributions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset.targets import distribution_targets, edge_targets
from modules.layers import resize, resize_matrix
from networks.csenet import CSENetOutput
from utils.parsing_loss import parsing_loss

WEIGHTS = {"coarse": 0.4, "body": 1.0, "final": 1.0, "edge": 1.0, "rows": 45.0, "cols": 45.0}
PARSING = ("coarse", "body", "final")


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

        Returns the total, and for the record its terms before their weights: coarse_ce, coarse_lovasz, body_ce,
        body_lovasz, final_ce, final_lovasz, edge, rows, cols. Only the total leads back to the outputs.
        """
        with torch.autocast(labels.device.type, enabled=False):
            return self._compare(out, labels)

    def _compare(self, out: CSENetOutput, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        dtype = torch.promote_types(out.final.dtype, torch.float32)
        losses: dict[str, Tensor] = {}
        terms: dict[str, Tensor] = {}
        for name in PARSING:
            losses[name], terms[f"{name}_ce"], terms[f"{name}_lovasz"] = parsing_loss(
                getattr(out, name).to(dtype), labels
            )
        losses["edge"] = edge_cross_entropy(resize(out.edge.to(dtype), labels.shape[-2:]), edge_targets(labels))
        row_target, column_target = distribution_targets(labels, self.num_classes, has_background=self.has_background)
        losses["rows"] = _distribution_error(out.rows.to(dtype), row_target)
        losses["cols"] = _distribution_error(out.cols.to(dtype), column_target)
        total = torch.stack([weight * losses[name] for name, weight in WEIGHTS.items()]).sum()
        return total, terms | {name: losses[name].detach() for name in ("edge", "rows", "cols")}


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
    stretched = predicted @ resize_matrix(predicted.shape[-1], target.shape[-1], like=predicted).T
    return (stretched - target.to(stretched.dtype)).square().mean()
