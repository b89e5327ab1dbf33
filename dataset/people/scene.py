"""Where a figure is: a place behind it, sometimes a thing in front of it, and what a camera makes of both."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dataset.people.canvas import Canvas, Picture, turned
from dataset.people.drawing import draw_figure
from dataset.people.figure import Figure, choose, sample_colour, sample_figure

# Colours of a backdrop's top and bottom, and of the floor's: a meadow, a beach, a street, a room.
PLACES = (
    ((225, 170, 110), (245, 225, 200), (85, 165, 120), (60, 120, 85)),
    ((220, 160, 90), (200, 175, 110), (150, 200, 225), (120, 170, 205)),
    ((215, 185, 150), (235, 225, 215), (110, 110, 115), (155, 155, 160)),
    ((190, 205, 215), (200, 215, 225), (70, 100, 130), (95, 135, 175)),
)
HAZE = 228


def draw_person(rng_or_seed: Generator | int, size: tuple[int, int] = (192, 128)) -> tuple[Picture, Picture]:
    """Draw one person: image (H, W, 3) uint8 BGR and label map (H, W) uint8 of LIP's 20 classes.

    `size` is (height, width). Left and right are the person's. The same seed gives the same bytes, and draws the
    figure that `sample_figure` makes of it.
    """
    rng = np.random.default_rng(rng_or_seed)
    figure = sample_figure(rng)
    canvas = Canvas(_background(rng, size), figure, *_framed(rng, figure, size))
    draw_figure(canvas)
    if rng.random() < 0.2:
        _draw_occluder(rng, canvas)
    image, label = canvas.finish()
    return _photographed(rng, image), label


def _framed(rng: Generator, figure: Figure, size: tuple[int, int]) -> tuple[float, NDArray[np.float64]]:
    """Return the pixels to a head height and the hips' pixel (x, y): mostly, all of the figure is to be seen."""
    head = [(-0.6, -3.35, 0), (0.6, -2.5, 0)]
    points = turned(np.concatenate([*figure.limbs.values(), head]), figure.yaw)[:, :2]
    low, high = np.add(points.min(0), (-0.2, -0.05)), np.add(points.max(0), (0.2, 0.4))
    room = np.array(size[::-1])
    unit = np.min(room / (high - low)) * rng.uniform(0.88, 1)
    shift = rng.uniform(0.25, 0.75, 2)
    if rng.random() < 0.12:  # closer, so that the feet are cut off
        unit *= rng.uniform(1.15, 1.5)
        shift = np.array([rng.normal(0.5, 0.08), rng.uniform(0, 0.12)])
    return float(unit), (room - (high - low) * unit) * shift - low * unit


def _background(rng: Generator, size: tuple[int, int]) -> Picture:
    """Return a background (H, W, 3): a place out of focus and in haze, before which people stand out."""
    height, width = size
    horizon = int(height * rng.uniform(0.45, 0.85))
    sky, far, floor, near = np.clip(rng.normal(choose(rng, PLACES), 18), 0, 255)
    rows = np.concatenate([np.linspace(sky, far, horizon), np.linspace(floor, near, height - horizon)])
    picture = np.repeat(rows[:, None].astype(np.uint8), width, axis=1)
    for _ in range(rng.integers(1, 6)):
        shares = rng.uniform((0, 0.05, 0.1, 0.1), (1, 0.8, 0.25, 0.3))
        x, y, wide, tall = (shares * (width, horizon, width, height)).astype(int).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(picture, (x, y), (wide, tall), 0, 0, 360, sample_colour(rng), -1)
        else:
            cv2.rectangle(picture, (x - wide, y - tall), (x + wide, horizon), sample_colour(rng), -1)
    sigma = rng.uniform(0, 1) ** 2 * 0.016 * height
    if sigma > 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)
    haze = rng.uniform(0.35, 0.65)
    return (picture * (1 - haze) + HAZE * haze).astype(np.uint8)


def _draw_occluder(rng: Generator, canvas: Canvas) -> None:
    """Draw a post or a table in front of the figure, labelled Background."""
    height, width = canvas.label.shape
    wide, top = choose(rng, ((0.1, 0.0), (0.7, rng.uniform(0.6, 0.85))))
    left = rng.uniform(-0.2, 0.9)
    mask = np.zeros_like(canvas.label)
    mask[int(top * height) :, max(int(left * width), 0) : int((left + wide) * width)] = 255
    canvas.paint("Background", mask, colour=sample_colour(rng))


def _photographed(rng: Generator, image: Picture) -> Picture:
    """Return an image (H, W, 3) with the light falling off to one side, a colour cast and a sensor's noise."""
    height, width = image.shape[:2]
    slope = rng.uniform(-0.16, 0.16, 2).astype(np.float32)
    x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (1 + slope[0] * x + slope[1] * y)[..., None]
    cast = (rng.normal(1, 0.035, 3) * rng.uniform(0.86, 1.08)).astype(np.float32)
    noise = rng.standard_normal((height, width, 1), np.float32) * rng.uniform(0, 3)
    return np.clip(image * cast * light + noise, 0, 255).astype(np.uint8)
