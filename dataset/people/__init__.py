"""A small LIP-like set of drawn people: the built-in demonstration's data, and the tests'."""

from dataset.people.folder import make_dataset
from dataset.people.scene import draw_person

__all__ = ["draw_person", "make_dataset"]
