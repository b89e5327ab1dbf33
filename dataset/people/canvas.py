"""Drawing with labels: every shape changes a picture and its label map together."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataset.class_names import LIP
from dataset.people.figure import Fabric, Figure, Points, Triple

Picture = NDArray[np.uint8]
ZOOM = 2
# The camera looks down a little: what is a head height nearer appears this much lower.
TILT = 0.22
# Shapes darken towards their rim, which makes them look round: brightness by how much of the shape is around a pixel.
BRIGHTNESS = np.minimum(0.66 + 0.46 * np.linspace(0, 1, 256), 1)


def turned(points: ArrayLike, yaw: float) -> Points:
    """Return points (K, 3) of a body as the camera sees them: right, down, nearer (in head heights)."""
    x, y, z = np.asarray(points, np.float64).T
    nearer = z * np.cos(yaw) - x * np.sin(yaw)
    return np.stack([x * np.cos(yaw) + z * np.sin(yaw), y + TILT * nearer, nearer], 1)


class Canvas:
    """A picture (H, W, 3) BGR and its label map (H, W), at ZOOM times the size they end up with.

    The same hard-edged masks paint both, so that they agree to the pixel; shrinking the picture by area makes
    its edges smooth, and every ZOOM-th label is a label still. The figure's head is `unit` pixels high, and the
    pixel `origin` (x, y) is between its hips. Classes that it has no fabric for are not drawn.
    """

    def __init__(self, background: Picture, figure: Figure, unit: float, origin: ArrayLike) -> None:
        self.image = np.asarray(cv2.resize(background, None, fx=ZOOM, fy=ZOOM), np.uint8)
        self.label: Picture = np.zeros(self.image.shape[:2], np.uint8)
        self.figure = figure
        self.unit = unit * ZOOM
        self.origin = np.asarray(origin) * ZOOM

    def project(self, points: ArrayLike) -> Points:
        """Return pixels (K, 2) of points (K, 3) of the body."""
        return turned(points, self.figure.yaw)[:, :2] * self.unit + self.origin

    def polygon(self, name: str, outline: ArrayLike, hole: ArrayLike | None = None) -> None:
        """Fill an outline (K, 2) of x, y in pixels, less a hole in it."""
        mask = np.zeros_like(self.label)
        cv2.fillPoly(mask, [_fixed_point(outline)], 255, shift=4)
        if hole is not None:
            cv2.fillPoly(mask, [_fixed_point(hole)], 0, shift=4)
        self.paint(name, mask)

    def tube(self, name: str, joints: ArrayLike, radii: ArrayLike, start: float = 0, end: float = 1) -> None:
        """Draw a limb through `joints` (K, 3) with a radius at each, between two shares of its length."""
        joints = np.asarray(joints, np.float64)
        position = np.append(0, np.linalg.norm(np.diff(joints, axis=0), axis=1).cumsum())
        shares = np.linspace(start, end, 8) * position[-1]
        *axes, radius = (np.interp(shares, position, values) for values in (*joints.T, np.asarray(radii)))
        points = _fixed_point(self.project(np.stack(axes, 1))).tolist()
        thickness = np.maximum(2 * radius * self.unit, 1).round().astype(int).tolist()
        mask = np.zeros_like(self.label)
        for one, other, width in zip(points[:-1], points[1:], thickness[:-1], strict=True):
            cv2.line(mask, one, other, 255, width, shift=4)
        self.paint(name, mask)

    def paint(self, name: str, mask: Picture, left: int = 0, top: int = 0, colour: Triple | None = None) -> None:
        """Paint and label where `mask` (h, w), whose corner lies at (`left`, `top`), is 255.

        The paint is the figure's fabric for the LIP class `name`, or a colour for it.
        """
        fabric = self.figure.fabrics.get(name) if colour is None else Fabric(colour)
        x, y, width, height = cv2.boundingRect(mask)
        if fabric is None or not width:
            return
        mask = mask[y : y + height, x : x + width]
        here = slice(top + y, top + y + height), slice(left + x, left + x + width)
        reach = max(3, min(height, width) // 2)
        around = cv2.merge([cv2.blur(mask, (reach, reach), borderType=cv2.BORDER_CONSTANT)] * 3)
        colours = cv2.LUT(around, _shades(fabric.base))
        if fabric.stripes:
            rows, columns = (axis / (fabric.pitch * self.unit) for axis in np.ogrid[here])
            striped = np.any([(a * columns + b * rows) % 1 < 0.45 for a, b in fabric.stripes], axis=0)
            cv2.copyTo(cv2.LUT(around, _shades(fabric.accent)), striped.astype(np.uint8), colours)
        cv2.copyTo(colours, mask, self.image[here])
        self.label[here][mask > 0] = LIP.index(name)

    def finish(self) -> tuple[Picture, Picture]:
        """Return picture (H, W, 3) and label map (H, W) at their final size."""
        image = cv2.resize(self.image, None, fx=1 / ZOOM, fy=1 / ZOOM, interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8), np.ascontiguousarray(self.label[ZOOM // 2 :: ZOOM, ZOOM // 2 :: ZOOM])


def _fixed_point(points: ArrayLike) -> NDArray[np.int32]:
    """Return coordinates as OpenCV takes them: with 4 fractional bits."""
    return np.round(np.asarray(points, np.float64) * 16).astype(np.int32)


def _shades(colour: Triple) -> Picture:
    return (BRIGHTNESS[:, None] * colour).astype(np.uint8)[None]
