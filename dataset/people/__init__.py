"""A small LIP-like set of drawn people: the built-in demonstration's data, and the tests'."""

import sys

from dataset.interrupts import end_at_once_on_ctrl_c

if sys.argv[:1] == ["-m"]:  # as long as Python looks for the module to run: `python -m dataset.people`
    end_at_once_on_ctrl_c()

from dataset.people.folder import make_dataset
from dataset.people.scene import draw_person

__all__ = ["draw_person", "make_dataset"]
