"""Where a person stands in the picture: from the body's axes to pixels, and which class is which."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataset.descriptions import BUILT_IN
from dataset.people_canvas import Canvas, Colour, Fabric, Image, Points, texture
from dataset.people_person import OUTWARD, Person, Side

LABELS = {name: index for index, name in enumerate(BUILT_IN["lip"].class_names)}
ARM: dict[Side, int] = {"left": LABELS["Left-arm"], "right": LABELS["Right-arm"]}
LEG: dict[Side, int] = {"left": LABELS["Left-leg"], "right": LABELS["Right-leg"]}
SHOE: dict[Side, int] = {"left": LABELS["Left-shoe"], "right": LABELS["Right-shoe"]}
GARMENTS = {"pants": "Upper-clothes", "skirt": "Upper-clothes", "dress": "Dress", "jumpsuit": "Jumpsuits"}
# The camera looks down a little: a head height towards the viewer is this much lower in the picture.
TILT = 0.22


class Stage:
    """A canvas, the person on it, and the projection between them (no perspective).

    `scale` is the pixels of a head height, `origin` the pixel (x, y) of the middle of the hips.
    """

    def __init__(self, canvas: Canvas, person: Person, scale: float, origin: tuple[float, float]) -> None:
        self.canvas = canvas
        self.person = person
        self.scale = scale
        self.origin = np.array(origin)
        self._textures: dict[Fabric, Colour | Image] = {}

    def depth(self, points: ArrayLike) -> NDArray[np.float64]:
        """How far towards the viewer points (..., 3) of the body lie, in head heights."""
        body = np.asarray(points, np.float64)
        return body[..., 2] * np.cos(self.person.yaw) - body[..., 0] * np.sin(self.person.yaw)

    def project(self, points: ArrayLike) -> Points:
        """Pixels (K, 2) of points (K, 3) of the body."""
        return self.plane(turn(points, self.person.yaw))

    def plane(self, points: ArrayLike) -> Points:
        """Pixels (K, 2) of points (K, 2) in head heights of the picture's plane, before the person leans."""
        return to_pixels(points, self.person.lean, self.scale, self.origin)

    def side_x(self, side: Side) -> float:
        """Which way (-1..1) along the image's x axis a side of the person lies."""
        return float(OUTWARD[side] * np.cos(self.person.yaw))

    def texture(self, fabric: Fabric) -> Colour | Image:
        """The fabric as the canvas is painted with it, made once."""
        if fabric not in self._textures:
            height, width = self.canvas.label.shape
            self._textures[fabric] = texture(fabric, (height, width), self.scale)
        return self._textures[fabric]

    @property
    def top_label(self) -> int:
        """The class of the garment that covers the chest under any coat."""
        return LABELS[GARMENTS[self.person.outfit.base]]


def turn(points: ArrayLike, yaw: float) -> NDArray[np.float64]:
    """Points (K, 3) of the body as (K, 2) in head heights of the picture's plane."""
    body = np.asarray(points, np.float64)
    across = body[:, 0] * np.cos(yaw) + body[:, 2] * np.sin(yaw)
    toward = body[:, 2] * np.cos(yaw) - body[:, 0] * np.sin(yaw)
    return np.stack([across, body[:, 1] + TILT * toward], 1)


def to_pixels(points: ArrayLike, lean: float, scale: float, origin: ArrayLike) -> Points:
    """Turn points (K, 2) by `lean` radians about the hips, then scale and shift them to pixels."""
    plane = np.asarray(points, np.float64)
    cosine, sine = np.cos(lean), np.sin(lean)
    turned = plane @ np.array([[cosine, sine], [-sine, cosine]])
    return (turned * scale + np.asarray(origin)).astype(np.float32)
