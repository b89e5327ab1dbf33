"""How predictions are made, and what they hold: the options of `HumanParser.predict`, which explains them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from dataset.descriptions import DatasetDescription

Borders = Literal["smooth", "published"]
LogitsSize = Literal["network", "picture"]


class _Options(TypedDict, total=False):
    scales: Sequence[float]
    mirror: bool
    batch_size: int
    borders: Borders


class MapOptions(_Options, total=False):
    """Those with which a prediction is a class map."""

    return_people: Literal[False]
    return_logits: None
    alpha_of: None


class PredictOptions(_Options, total=False):
    """Those of predictions that may hold more, as `predict_iter` yields them."""

    return_logits: LogitsSize | None
    alpha_of: Sequence[int] | None


class PredictWithPeopleOptions(PredictOptions, total=False):
    """Those of `predict`, which needs to be told that people are wanted."""

    return_people: bool


@dataclass(frozen=True)
class Wanted:
    """What is to be made of the logits of crops. Raises ValueError for values that there are not."""

    description: DatasetDescription
    borders: Borders = "smooth"
    logits: LogitsSize | None = None
    alpha_of: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.borders not in get_args(Borders):
            raise ValueError(f"borders is {self.borders!r}; it must be 'smooth' or 'published'")
        if self.logits not in (None, *get_args(LogitsSize)):
            raise ValueError(f"return_logits is {self.logits!r}; it must be 'network', 'picture' or None")
        indices = range(self.description.num_classes)
        if unknown := [index for index in self.alpha_of or () if index not in indices]:
            raise ValueError(f"alpha_of has {unknown[0]!r}; the class indices are 0 to {indices[-1]}")
