"""How predictions are made, and what they hold: the options of `HumanParser.predict`, which explains them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from dataset.descriptions import DatasetDescription

Borders = Literal["smooth", "published"]
LogitsSize = Literal["network", "picture"]


class MapOptions(TypedDict, total=False):
    """How class maps are made."""

    scales: Sequence[float]
    mirror: bool
    batch_size: int
    borders: Borders


class PredictOptions(MapOptions, total=False):
    """And what else predictions hold."""

    return_logits: LogitsSize | None
    alpha_of: Sequence[int] | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be made of the logits of crops; checked by `wanted_results`.

    background: the class index of what nobody claims; 255 where there is no such class.
    """

    background: int
    borders: Borders = "smooth"
    logits: LogitsSize | None = None
    alpha_of: tuple[int, ...] | None = None


def wanted_results(
    description: DatasetDescription,
    borders: Borders,
    return_logits: LogitsSize | None,
    alpha_of: Sequence[int] | None,
) -> Wanted:
    """Return what predictions shall hold. Raises ValueError for values that there are not."""
    if borders not in get_args(Borders):
        raise ValueError(f"borders is {borders!r}; it must be 'smooth' or 'published'")
    if return_logits not in (None, *get_args(LogitsSize)):
        raise ValueError(f"return_logits is {return_logits!r}; it must be 'network', 'picture' or None")
    if unknown := [index for index in alpha_of or () if index not in range(description.num_classes)]:
        raise ValueError(f"alpha_of has {unknown[0]!r}; the class indices are 0 to {description.num_classes - 1}")
    return Wanted(
        background=description.background,
        borders=borders,
        logits=return_logits,
        alpha_of=None if alpha_of is None else tuple(alpha_of),
    )
