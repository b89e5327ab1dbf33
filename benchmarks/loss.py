"""How long does the loss take, forward and backward? Measured in sorts: torch.sort of every class's pixels, once.

The plain loss sorts three times as much, for three maps of logits. How much is left to sort depends on the weights, so
there are logits as of initial weights (random), of trained ones (the labels, unsure and now and then wrong at borders)
and of weights so sure of themselves that float32 knows no smaller error, where little can be left out. The loss and
the sort take turns. Before that, loss and gradient are compared with a plain full sort in float64.

    python benchmarks/loss.py
    python benchmarks/loss.py --data-dir ../shared/data/ccp --json loss.json
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.harness import loss_alone, option_parser, ratio, report, take_turns
from dataset.command import run_command
from dataset.descriptions import list_samples, load_description
from dataset.geometry import fit_label_to_crop
from dataset.people import draw_person
from dataset.reading import read_sample
from networks import CSENetOutput
from tests.plain_losses import plain_parsing_loss
from utils.cli import IMAGES_AT_ONCE
from utils.losses import PARSING, WEIGHTS, CSENetLoss

# How far the logits of the labels stand above the others, whose noise has deviation 1.
SURENESS = {"initial": 0.0, "trained": 10.0, "saturated": 40.0}


def label_maps(options: argparse.Namespace) -> tuple[Tensor, int]:
    """Return label maps (N, H, W) uint8, whole pictures warped to the crop as in evaluation, and K."""
    if not options.data_dir:
        labels, num_classes = [draw_person(index)[1] for index in range(options.batch)], 20
    else:
        description = load_description(options.data_dir)
        samples = list_samples(options.data_dir, description, "val")[: options.batch]
        if len(samples) < options.batch:
            raise ValueError(f"{options.data_dir} has {len(samples)} pictures in its val split, fewer than --batch")
        labels, num_classes = [read_sample(sample, description)[1] for sample in samples], description.num_classes
    return torch.from_numpy(np.stack([fit_label_to_crop(label, options.size) for label in labels])), num_classes


def outputs(labels: Tensor, num_classes: int, sureness: float) -> CSENetOutput:
    """Draw outputs of a network for crops with these labels; the maps of logits favour the labels by `sureness`."""
    n, height, width = labels.shape
    quarter, sixteenth = (-(-height // 4), -(-width // 4)), (-(-height // 16), -(-width // 16))
    favoured = F.one_hot(labels.long() % 255 % num_classes, num_classes).movedim(-1, 1).float()

    def logits(size: tuple[int, int], shift: tuple[int, int]) -> Tensor:
        # Borders seen a pixel or two beside their place are wrong; averaging to the smaller size makes them unsure.
        seen = F.interpolate(favoured.roll(shift, dims=(2, 3)), size, mode="area")
        return sureness * seen + torch.randn(n, num_classes, *size, device=labels.device)

    rows, cols = (torch.rand(n, num_classes, length // 4, device=labels.device) for length in (height, width))
    edge = torch.randn(n, 2, *quarter, device=labels.device)
    return CSENetOutput(logits(sixteenth, (2, 1)), logits(quarter, (-1, 2)), logits(quarter, (1, -1)), edge, rows, cols)


def gradients_of(
    loss: Callable[[CSENetOutput], Tensor], out: CSENetOutput, dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return a loss, and its gradient by each of the maps of parsing logits."""
    leaves = CSENetOutput(*(x.detach().to(dtype).requires_grad_() for x in out))
    value = loss(leaves)
    gradients = torch.autograd.grad(value, [getattr(leaves, name) for name in PARSING])
    return value.detach(), dict(zip(PARSING, gradients, strict=True))


def check(criterion: CSENetLoss, out: CSENetOutput, labels: Tensor) -> float:
    """Compare the parsing part with the plain full sort, in float64; return float32's relative error of the gradient.

    Raises AssertionError where they differ.
    """

    def plain(leaves: CSENetOutput) -> Tensor:
        parts = [WEIGHTS[name] * torch.stack(plain_parsing_loss(getattr(leaves, name), labels)) for name in PARSING]
        return torch.cat(parts).sum()

    expected, exact = gradients_of(plain, out, torch.float64)
    _, ours = gradients_of(lambda leaves: criterion(leaves, labels)[0], out, torch.float64)
    _, single = gradients_of(lambda leaves: criterion(leaves, labels)[0], out, torch.float32)
    _, terms = criterion(out, labels)
    parsing = sum(WEIGHTS[name] * (terms[f"{name}_ce"] + terms[f"{name}_lovasz"]).double() for name in PARSING)
    torch.testing.assert_close(parsing, expected, rtol=1e-5, atol=0.0)
    worst = 0.0
    for name in PARSING:
        norm = exact[name].norm()
        assert (ours[name] - exact[name]).norm() <= 1e-9 * norm, f"the gradient of {name} is wrong"
        worst = max(worst, ((single[name] - exact[name]).norm() / norm).item())
    assert worst <= 1e-4, f"in float32 the gradient is off by {worst:.1e}"
    return worst


def left_to_sort(logits: Tensor, labels: Tensor) -> float:
    """Return which share of all entries the pruned sort keeps for one map of logits."""
    resized = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=True)
    probabilities = resized.softmax(1).transpose(0, 1)
    kept = 0
    for of_class, scores in enumerate(probabilities):
        members = labels == of_class
        if members.any():
            kept += int((members | ((labels != 255) & (scores >= 1 - scores[members].max()))).sum())
    return kept / probabilities.numel()


def main() -> None:
    parser = option_parser(__doc__, warmup=1, repeat=5)
    parser.add_argument("--batch", type=IMAGES_AT_ONCE, default=2, help="label maps at once (2)")
    parser.add_argument("--data-dir", help="take the label maps of this dataset's val split, not of drawn people")
    options = parser.parse_args()
    torch.manual_seed(0)
    labels, num_classes = label_maps(options)
    labels = labels.to(options.device)
    criterion = CSENetLoss(num_classes)
    unsorted = torch.rand(num_classes, labels.numel(), device=labels.device)
    rows = []
    print(f"{'weights':<12}{'left to sort':>14}{'loss, ms':>11}{'sort, ms':>11}{'in sorts':>10}{'spread':>18}")
    for name, sureness in SURENESS.items():
        out = outputs(labels, num_classes, sureness)
        error, left = check(criterion, out, labels), left_to_sort(out.final, labels)
        runs = {"sort": lambda: unsorted.sort(dim=-1), "loss": loss_alone(criterion, out, labels)}
        times = take_turns(runs, options)
        loss, sort = (1000 * statistics.median(times[key]) for key in ("loss", "sort"))
        median, least, most = ratio(times["loss"], times["sort"])
        rows.append({"weights": name, "left_to_sort": left, "float32_error": error, "seconds": times})
        rows[-1] |= {"ratio": median, "ratio_min": least, "ratio_max": most}
        spread = f"{least:.2f} to {most:.2f}"
        print(f"{name:<12}{left:>14.1%}{loss:>11.1f}{sort:>11.1f}{median:>10.2f}{spread:>18}", flush=True)
    height, width = options.size
    source = "labels of a dataset" if options.data_dir else "drawn people"
    report(
        options,
        f"{options.batch} x {height} x {width}, {num_classes} classes, {source}; a sort is one of "
        f"({num_classes}, {labels.numel()}) float32",
        {"classes": num_classes, "labels": source, "rows": rows},
    )


if __name__ == "__main__":
    sys.exit(run_command(Path(__file__).name, main))
