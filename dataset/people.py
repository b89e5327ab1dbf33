"""A small LIP-like set of drawn people: the built-in demonstration's data, and the tests'."""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from dataset.people_body import draw_body
from dataset.people_canvas import Canvas, Image
from dataset.people_person import HEAD_RADII, HEAD_Y, Person, chance, sample_person
from dataset.people_scene import draw_background, draw_occluder, relight
from dataset.people_stage import LABELS, to_pixels, turn


def draw_person(rng_or_seed: Generator | int, size: tuple[int, int] = (192, 128)) -> tuple[Image, Image]:
    """Draw one person: image (H, W, 3) uint8 BGR and label map (H, W) uint8 of LIP's 20 classes.

    `size` is (height, width). Left and right are the person's. The same seed gives the same bytes.
    """
    rng = np.random.default_rng(rng_or_seed)
    return draw(rng, sample_person(rng), size)


def draw(rng: Generator, person: Person, size: tuple[int, int]) -> tuple[Image, Image]:
    """Draw a given person into a scene at random; see `draw_person`."""
    zoom = 3 if max(size) <= 256 else 2
    light = (float(rng.choice((-1, 1)) * rng.uniform(0.3, 1)), float(-rng.uniform(0.2, 1)))
    canvas = Canvas(draw_background(rng, size), zoom, light)
    scale, origin = _place(rng, person, (size[0] * zoom, size[1] * zoom))
    draw_body(canvas, person, scale, origin)
    if chance(rng, 0.2):
        draw_occluder(rng, canvas)
    image, label = canvas.finish()
    return relight(rng, image, light), label


def _place(rng: Generator, person: Person, size: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Pixels to a head height, and where the hips go: mostly all of the person, sometimes closer."""
    height, width = size
    joints = np.concatenate([*person.arms.values(), *person.legs.values()])
    plane = turn(joints, person.yaw)
    plane = np.concatenate([plane, [(-0.6, HEAD_Y - HEAD_RADII[1] - 0.25), (0.6, HEAD_Y)]])
    points = to_pixels(plane, person.lean, 1.0, (0, 0))
    low, high = points.min(0) - (0.25, 0.05), points.max(0) + (0.25, 0.45)
    span = high - low
    scale = float(min(height / span[1], width / span[0]) * rng.uniform(0.86, 0.99))
    closer = chance(rng, 0.25)
    if closer:
        scale *= float(rng.uniform(1.15, 1.7))
    spare = np.array([width, height]) - span * scale
    shift = rng.uniform(0.25, 0.75, 2)
    if closer:
        # Cut off at the feet rather than at the head, as photographs are; now and then the other way round.
        shift[1] = rng.uniform(0.8, 1.0) if chance(rng, 0.15) else rng.uniform(0, 0.12)
        shift[0] = 0.5 + rng.normal(0, 0.08)
    origin = spare * shift - low * scale
    return scale, (float(origin[0]), float(origin[1]))
