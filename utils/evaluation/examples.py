"""Photographs of a dataset beside their labels and what a parser makes of them, in one picture."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dataset.descriptions import DatasetDescription
from dataset.layouts import Sample
from dataset.reading import read_sample
from utils.pictures.figures import Picture, colourise, fit, grid, legend, stack

EXAMPLES = 10
Predict = Callable[[Sample, Picture], NDArray[np.uint8]]
"""From a sample and its photograph (H, W, 3) RGB to its class map (H, W)."""


def examples_picture(predict: Predict, samples: Sequence[Sample], dataset: DatasetDescription) -> Picture:
    """Draw ten of the samples, evenly spaced over the set: photograph, label, prediction, and the legend."""
    count = min(EXAMPLES, len(samples))
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    colours, cell = dataset.palette, (220, 150)
    rows: list[list[Picture]] = []
    for i, sample in enumerate(chosen):
        image, label = read_sample(sample, dataset)
        photograph = np.ascontiguousarray(image[..., ::-1])
        prediction = predict(sample, photograph)
        row = [
            fit(photograph, cell),
            fit(colourise(label, colours), cell, smooth=False),
            fit(colourise(prediction, colours), cell, smooth=False),
        ]
        if i % 2:  # two samples side by side
            rows[-1] += row
        else:
            rows.append(row)
    rows[-1] += [np.full((*cell, 3), 255, dtype=np.uint8)] * (len(rows[0]) - len(rows[-1]))
    captions = ("photograph", "label", "prediction") * (len(rows[0]) // 3)
    table = grid(rows, captions)
    return stack([table, legend(dataset.class_names, colours, table.shape[1])])
