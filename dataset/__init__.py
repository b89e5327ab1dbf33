"""Datasets: descriptions, reading, crop geometry, augmentation, targets, and the built-in drawn people.

What all commands need, to read options, write files and end, lies here, too: this room imports nothing from `utils`.
"""

IGNORE_LABEL = 255
"""The class index of pixels that no loss and no metric looks at, in every label map inside this project."""
