"""From pictures to class maps."""

from utils.inference.human_parser import HumanParser

__all__ = ["HumanParser"]
