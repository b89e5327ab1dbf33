"""Datasets: descriptions, reading, crop geometry, augmentation, targets, and the built-in drawn people."""

IGNORE_LABEL = 255
"""The class index of pixels that no loss and no metric looks at, in every label map inside this project."""
