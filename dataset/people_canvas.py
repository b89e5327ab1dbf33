"""Drawing with labels: a canvas on which every filled shape changes a picture and its label map together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float32]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Fabric:
    """What a surface looks like: a pattern of two BGR colours.

    `kind` is plain, stripes, checks, dots or noise; `pitch` is the pattern's period in head heights and
    `angle` its direction in degrees.
    """

    kind: str
    base: Colour
    accent: Colour
    pitch: float = 0.3
    angle: float = 0.0


class Canvas:
    """A picture (H, W, 3) BGR and its label map (H, W), drawn at `zoom` times the size they end up with.

    The same hard-edged masks paint both, so they agree to the pixel; shrinking the picture by area gives it
    smooth edges, and taking every zoom-th label keeps labels whole numbers.
    """

    def __init__(self, background: Image, zoom: int, light: tuple[float, float]) -> None:
        height, width = background.shape[:2]
        self.zoom = zoom
        self.light = light
        self.image: Image = cv2.resize(
            background, (width * zoom, height * zoom), interpolation=cv2.INTER_LINEAR
        ).astype(np.uint8, copy=False)
        self.label: Image = np.zeros(self.image.shape[:2], np.uint8)

    def fill(
        self,
        outlines: Sequence[Points],
        paint: Colour | Image,
        label: int,
        holes: Sequence[Points] = (),
        shade: float = 0.34,
    ) -> None:
        """Fill the union of `outlines` (each (K, 2) x, y pixels), less the `holes`, with a colour or texture."""
        height, width = self.label.shape
        corners = np.concatenate(list(outlines))
        left, top = np.floor(corners.min(0)).astype(int)
        right, bottom = np.ceil(corners.max(0)).astype(int) + 1
        # A shape is shaded as a whole, so what hangs over the edge is kept, within reason.
        left, right = max(left, -width // 2), min(right, width + width // 2)
        top, bottom = max(top, -height // 2), min(bottom, height + height // 2)
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [_fixed_point(outline, left, top)], 255, shift=4)
        for hole in holes:
            cv2.fillPoly(mask, [_fixed_point(hole, left, top)], 0, shift=4)
        self.fill_mask(mask, left, top, paint, label, shade)

    def fill_mask(
        self, mask: Image, left: int, top: int, paint: Colour | Image, label: int, shade: float = 0.34
    ) -> None:
        """Fill where `mask` (h, w), whose corner lies at (`left`, `top`), is not zero.

        `shade` (0..1) darkens towards the rim that faces away from the light, which makes shapes look round.
        """
        height, width = self.label.shape
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + mask.shape[1], width), min(top + mask.shape[0], height)
        if x1 <= x0 or y1 <= y0:
            return
        inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        here = (slice(y0, y1), slice(x0, x1))
        # The brightness is a function of one byte per pixel, which makes a table the quickest way.
        brightness = 1 - shade + shade * np.minimum(np.arange(256) * (1.35 / 255), 1)
        nearness = cv2.merge([self._softened(mask)[inside] if shade else mask[inside]] * 3)
        if isinstance(paint, np.ndarray):
            factor = cv2.LUT(nearness, (255 * brightness).astype(np.uint8))
            colours = cv2.multiply(paint[here], factor, scale=1 / 255)
        else:
            table = (brightness[:, None] * np.array(paint)).astype(np.uint8)
            colours = cv2.LUT(nearness, table[None])
        chosen = np.ascontiguousarray(mask[inside])
        cv2.copyTo(colours, chosen, self.image[here])
        self.label[here][chosen > 0] = label

    def _softened(self, mask: Image) -> Image:
        """The mask's local mean (0..255), looked up a little away from the light."""
        reach = max(3, int(0.55 * min(mask.shape)))
        x, y = (min(max(round(reach * (0.5 + 0.3 * part)), 0), reach - 1) for part in self.light)
        mean = cv2.blur(mask, (reach, reach), anchor=(x, y), borderType=cv2.BORDER_CONSTANT)
        return mean.astype(np.uint8, copy=False)

    def shadow(self, centre: tuple[float, float], radii: tuple[float, float], strength: float) -> None:
        """Darken a soft ellipse of the picture; the labels stay."""
        height, width = self.label.shape
        x0, x1 = max(int(centre[0] - radii[0]), 0), min(int(centre[0] + radii[0]) + 1, width)
        y0, y1 = max(int(centre[1] - radii[1]), 0), min(int(centre[1] + radii[1]) + 1, height)
        if x1 <= x0 or y1 <= y0:
            return
        u = (np.arange(x0, x1, dtype=np.float32)[None] - centre[0]) / radii[0]
        v = (np.arange(y0, y1, dtype=np.float32)[:, None] - centre[1]) / radii[1]
        factor = 1 - strength * np.clip(1 - u * u - v * v, 0, 1)
        part = self.image[y0:y1, x0:x1]
        part[:] = (part * factor[..., None]).astype(np.uint8)

    def finish(self) -> tuple[Image, Image]:
        """Picture (H, W, 3) and label map (H, W) at their final size."""
        zoom = self.zoom
        height, width = self.label.shape
        image = cv2.resize(self.image, (width // zoom, height // zoom), interpolation=cv2.INTER_AREA)
        label = self.label[zoom // 2 :: zoom, zoom // 2 :: zoom]
        return image.astype(np.uint8, copy=False), np.ascontiguousarray(label)


def _fixed_point(points: Points, left: int, top: int) -> NDArray[np.int32]:
    """Coordinates as OpenCV's fillPoly takes them: with 4 fractional bits."""
    return np.round((np.asarray(points) - (left, top)) * 16).astype(np.int32)


def scaled(colour: Colour, factor: float, plus: float = 0.0) -> Colour:
    """A darker or lighter colour: every channel times `factor`, plus `plus`."""
    blue, green, red = (min(max(int(channel * factor + plus), 0), 255) for channel in colour)
    return blue, green, red


def circle(centre: ArrayLike, radius: float, aspect: float = 1.0) -> Points:
    """The outline (28, 2) of an ellipse of half-width `radius` and half-height `radius` times `aspect`."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle) * aspect], 1)
    return (np.asarray(centre) + radius * ring).astype(np.float32)


def limb(joints: Points, radii: Sequence[float], flat_end: bool = False) -> list[Points]:
    """Outlines of a tapered tube through `joints` (K, 2) with a radius at each; `flat_end` cuts the last off."""
    outlines = [circle(joint, radius) for joint, radius in zip(joints, radii, strict=True)]
    if flat_end:
        outlines.pop()
    for start, end, r0, r1 in zip(joints[:-1], joints[1:], radii[:-1], radii[1:], strict=True):
        along = end - start
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        quad = [start + across * r0, end + across * r1, end - across * r1, start - across * r0]
        outlines.append(np.array(quad, np.float32))
    return outlines


def smooth(outline: Points, rounds: int = 2) -> Points:
    """Round a closed outline's corners by cutting them (Chaikin), `rounds` times."""
    for _ in range(rounds):
        following = np.roll(outline, -1, axis=0)
        pair = np.stack([0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1)
        outline = pair.reshape(-1, 2)
    return outline.astype(np.float32)


def texture(fabric: Fabric, size: tuple[int, int], unit: float) -> Colour | Image:
    """A fabric as a picture of `size` (height, width), or its colour where it has no pattern.

    `unit` is the number of pixels of one head height.
    """
    if fabric.kind == "plain":
        return fabric.base
    tile = _tile(fabric)
    scale = max(fabric.pitch * unit, 4) / tile.shape[0]
    matrix = cv2.getRotationMatrix2D((0, 0), fabric.angle, scale)
    smoothing = cv2.INTER_LINEAR if fabric.kind == "noise" else cv2.INTER_NEAREST
    picture = cv2.warpAffine(tile, matrix, size[::-1], flags=smoothing, borderMode=cv2.BORDER_WRAP)
    return picture.astype(np.uint8, copy=False)


def _tile(fabric: Fabric) -> Image:
    """One period of a fabric's pattern."""
    tile = np.empty((24, 24, 3), np.uint8)
    tile[:] = fabric.base
    accent = np.array(fabric.accent)
    if fabric.kind == "stripes":
        tile[:10] = accent
    elif fabric.kind == "checks":
        half = ((accent + fabric.base) // 2).astype(np.uint8)
        tile[:11] = half
        tile[:, :11] = half
        tile[:11, :11] = accent
    elif fabric.kind == "dots":
        cv2.circle(tile, (12, 12), 6, fabric.accent, -1)
    else:
        # Part of the fabric, not of the sampling: the same speckles wherever it is used.
        speckles = np.random.default_rng(0).random((24, 24, 1))
        tile[:] = tile + (accent - tile.astype(np.float64)) * speckles * 0.7
    return tile
