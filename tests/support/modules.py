"""Modules that are run as scripts in the tests' own process."""

import sys

import pytest


def forget_module(patch: pytest.MonkeyPatch, name: str) -> None:
    """Let a module be imported anew, as a new process would; undoing the patch puts the one that was there back.

    Its package knows it, too, and would otherwise be left with the new one, which lacks what only the old one has.
    """
    if name in sys.modules:
        package, _, attribute = name.rpartition(".")
        patch.setattr(sys.modules[package], attribute, sys.modules[name])
        patch.delitem(sys.modules, name)
