"""Where the people are: backgrounds, things in front of them, light."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from dataset.people_canvas import Canvas, Colour, Image, Points, circle, limb, scaled, smooth
from dataset.people_person import chance, choose, sample_colour

BACKGROUND = 0
HAZE = 228.0


def draw_background(rng: Generator, size: tuple[int, int]) -> Image:
    """A background (H, W, 3) BGR of `size` (height, width)."""
    scenes = {_field: 1.3, _street: 1.2, _room: 1.6, _wall: 1.2, _clutter: 0.4, _beach: 0.6}
    picture = choose(rng, scenes)(rng, size)
    sigma = float(rng.uniform(0, 1)) ** 2 * 0.016 * size[0]
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.uint8, copy=False)
    cell = int(rng.integers(3, 16))
    coarse = rng.standard_normal((size[0] // cell + 2, size[1] // cell + 2), np.float32)
    grain = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)[..., None]
    # Aerial perspective: what is far away is pale, and the person stands out.
    haze = float(rng.uniform(0.35, 0.65))
    pale = picture * (1 - haze) + HAZE * haze
    return np.clip(pale + grain * rng.uniform(0, 4), 0, 255).astype(np.uint8)


def _gradient(top: Colour, bottom: Colour, size: tuple[int, int]) -> Image:
    share = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    rows = np.array(top, np.float32) * (1 - share) + np.array(bottom, np.float32) * share
    return np.repeat(rows, size[1], axis=1).astype(np.uint8)


def _polygon(picture: Image, points: Points | list[tuple[float, float]], colour: Colour) -> None:
    corners = np.round(np.asarray(points, np.float32) * 16).astype(np.int32)
    cv2.fillPoly(picture, [corners], colour, cv2.LINE_AA, 4)


def _box(picture: Image, x: float, y: float, width: float, height: float, colour: Colour) -> None:
    _polygon(picture, [(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)


def _tinted(rng: Generator, colour: Colour, spread: float = 14) -> Colour:
    blue, green, red = np.clip(np.array(colour) + rng.normal(0, spread, 3), 0, 255).astype(int)
    return int(blue), int(green), int(red)


def _tree(rng: Generator, picture: Image, x: float, ground: float, tall: float) -> None:
    trunk, leaf = _tinted(rng, (50, 75, 105)), _tinted(rng, (60, 130, 70), 22)
    _box(picture, x - 0.04 * tall, ground - 0.5 * tall, 0.08 * tall, 0.5 * tall, trunk)
    for _ in range(7):
        dx, dy = rng.normal(0, 0.13, 2) * tall
        shade = _tinted(rng, leaf, 9)
        _polygon(picture, circle(np.array([x + dx, ground - 0.68 * tall + dy]), 0.18 * tall), shade)


def _field(rng: Generator, size: tuple[int, int]) -> Image:
    """Sky, hills and grass with trees."""
    height, width = size
    picture = _gradient(_tinted(rng, (225, 170, 110), 25), _tinted(rng, (245, 225, 200)), size)
    horizon = height * rng.uniform(0.4, 0.7)
    for _ in range(rng.integers(0, 4)):
        cloud = np.array([rng.uniform(0, width), rng.uniform(0, 0.8 * horizon)])
        for _ in range(4):
            offset = rng.normal(0, 0.05, 2) * (2 * width, height)
            _polygon(picture, circle(cloud + offset, width * rng.uniform(0.06, 0.13), 0.5), (248, 245, 242))
    hill = np.array([rng.uniform(0, width), horizon + 0.25 * height])
    _polygon(picture, circle(hill, width * rng.uniform(0.6, 1), 0.55), _tinted(rng, (105, 140, 105)))
    picture[int(horizon) :] = _gradient(
        _tinted(rng, (85, 165, 120)), _tinted(rng, (60, 120, 85)), (height - int(horizon), width)
    )
    for _ in range(rng.integers(0, 4)):
        ground = horizon + rng.uniform(0, 0.15) * height
        _tree(rng, picture, rng.uniform(0, width), ground, height * rng.uniform(0.3, 0.7))
    return picture


def _beach(rng: Generator, size: tuple[int, int]) -> Image:
    """Sky, sea and sand."""
    height, width = size
    picture = _gradient(_tinted(rng, (220, 160, 90), 20), _tinted(rng, (240, 220, 190)), size)
    sea, sand = int(height * rng.uniform(0.35, 0.55)), int(height * rng.uniform(0.58, 0.75))
    picture[sea:] = _gradient(_tinted(rng, (170, 120, 50)), _tinted(rng, (200, 175, 110)), (height - sea, width))
    picture[sand:] = _gradient(_tinted(rng, (150, 200, 225)), _tinted(rng, (120, 170, 205)), (height - sand, width))
    return picture


def _street(rng: Generator, size: tuple[int, int]) -> Image:
    """House fronts with windows above a pavement."""
    height, width = size
    picture = _gradient(_tinted(rng, (215, 185, 150), 25), _tinted(rng, (235, 225, 215)), size)
    pavement = height * rng.uniform(0.62, 0.85)
    x = -width * rng.uniform(0, 0.3)
    while x < width:
        wide = width * rng.uniform(0.35, 0.7)
        roof = height * rng.uniform(-0.1, 0.3)
        front = sample_colour(rng, 90, 220)
        _box(picture, x, roof, wide, pavement - roof, front)
        glass = _tinted(rng, (120, 100, 85), 35)
        columns = int(rng.integers(2, 4))
        for row in range(int((pavement - roof) / (0.2 * height))):
            for column in range(columns):
                left = x + wide * (column + 0.25) / columns
                _box(picture, left, roof + (0.05 + 0.2 * row) * height, 0.5 * wide / columns, 0.12 * height, glass)
        x += wide
    floor = _tinted(rng, (150, 150, 155), 20)
    _box(picture, 0, pavement, width, height - pavement, floor)
    _box(picture, 0, pavement, width, 0.02 * height, _tinted(rng, (95, 95, 100)))
    return picture


def _wall(rng: Generator, size: tuple[int, int]) -> Image:
    """A plain, striped or bricked wall, mostly with a floor."""
    height, width = size
    wall = sample_colour(rng, 110, 245)
    picture = _gradient(_tinted(rng, wall, 8), _tinted(rng, wall, 18), size)
    pattern = choose(rng, ("plain", "stripes", "bricks"))
    darker = _tinted(rng, scaled(wall, 0.85), 4)
    step = width * rng.uniform(0.08, 0.2)
    if pattern == "stripes":
        for x in np.arange(0, width, 2 * step):
            _box(picture, x, 0, step, height, darker)
    elif pattern == "bricks":
        for row, y in enumerate(np.arange(0, height, 0.5 * step)):
            _box(picture, 0, y, width, 0.05 * step + 0.5, darker)
            for x in np.arange(-step * (row % 2) / 2, width, step):
                _box(picture, x, y, 0.05 * step + 0.5, 0.5 * step, darker)
    if chance(rng, 0.75):
        _floor(rng, picture, height * rng.uniform(0.7, 0.92))
    return picture


def _floor(rng: Generator, picture: Image, top: float) -> None:
    height, width = picture.shape[:2]
    start = min(int(top), height - 2)
    colour = _tinted(rng, choose(rng, ((95, 135, 175), (150, 150, 150), (70, 85, 110), (175, 190, 200))))
    darker = _tinted(rng, scaled(colour, 0.75), 3)
    picture[start:] = _gradient(darker, colour, (height - start, width))
    _box(picture, 0, top, width, 0.015 * height, (225, 228, 230))


def _room(rng: Generator, size: tuple[int, int]) -> Image:
    """A wall with a window or picture, furniture and a floor."""
    height, width = size
    wall = _tinted(rng, sample_colour(rng, 140, 240), 6)
    picture = _gradient(wall, _tinted(rng, wall, 10), size)
    top = height * rng.uniform(0.66, 0.85)
    _floor(rng, picture, top)
    for _ in range(rng.integers(1, 4)):
        x, y = rng.uniform(-0.1, 0.8) * width, rng.uniform(0.02, 0.35) * height
        wide, tall = rng.uniform(0.2, 0.45) * width, rng.uniform(0.15, 0.35) * height
        frame = 0.025 * width
        _box(picture, x, y, wide, tall, _tinted(rng, choose(rng, ((235, 235, 235), (60, 80, 110)))))
        _box(picture, x + frame, y + frame, wide - 2 * frame, tall - 2 * frame, sample_colour(rng))
    for _ in range(rng.integers(1, 3)):
        x, colour = rng.uniform(-0.2, 0.8) * width, sample_colour(rng, 40, 200)
        wide, tall = rng.uniform(0.25, 0.6) * width, rng.uniform(0.12, 0.4) * height
        _box(picture, x, top + 0.05 * height - tall, wide, tall, colour)
        inner = _tinted(rng, colour, 18)
        for part in range(3):
            y = top + 0.05 * height - tall + (part + 0.15) * tall / 3
            _box(picture, x + 0.08 * wide, y, 0.84 * wide, 0.7 * tall / 3, inner)
    return picture


def _clutter(rng: Generator, size: tuple[int, int]) -> Image:
    """Soft patches of colour with scattered shapes, some of them as narrow as limbs."""
    height, width = size
    patches = rng.integers(40, 230, (int(rng.integers(2, 6)), int(rng.integers(2, 5)), 3)).astype(np.uint8)
    picture = np.asarray(cv2.resize(patches, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(rng.integers(2, 9)):
        ends = rng.uniform(0, 1, (2, 2)).astype(np.float32) * (width, height)
        thickness = rng.uniform(0.02, 0.08) * width
        for outline in limb(ends.astype(np.float32), [thickness, thickness]):
            _polygon(picture, outline, tuple(map(int, patches[0, 0])))  # type: ignore[arg-type]
    return picture


def draw_occluder(rng: Generator, canvas: Canvas) -> None:
    """Something in front of the person, labelled Background: a post, a trunk, a table, a plant or a fence."""
    height, width = canvas.label.shape
    colour = sample_colour(rng, 50, 220)
    kind = choose(rng, ("post", "table", "plant", "fence", "ball"))
    if kind == "post":
        x, thick = width * rng.uniform(0.15, 0.85), width * rng.uniform(0.03, 0.07)
        line = np.array([(x, -20), (x + rng.normal(0, 0.05) * width, height + 20)], np.float32)
        canvas.fill(limb(line, [thick, thick * 1.15]), colour, BACKGROUND)
    elif kind == "table":
        x, y = width * rng.uniform(-0.3, 0.5), height * rng.uniform(0.6, 0.85)
        wide = width * rng.uniform(0.5, 0.9)
        box = np.array([(0, 0), (wide, 0), (wide, height), (0, height)], np.float32) + np.array([x, y], np.float32)
        canvas.fill([box], colour, BACKGROUND, shade=0.15)
        rim = 0.015 * height
        board = np.array([(-rim, -rim), (wide + rim, -rim), (wide + rim, rim), (-rim, rim)], np.float32)
        canvas.fill([board + np.array([x, y], np.float32)], _tinted(rng, colour, 30), BACKGROUND, shade=0.1)
    elif kind == "plant":
        root = np.array([width * choose(rng, (0.12, 0.3, 0.7, 0.88)), height * 1.02])
        leaf = _tinted(rng, (60, 130, 70), 22)
        half = np.array([0.03 * width, 0])
        for _ in range(9):
            tip = root + rng.uniform((-0.25, -0.5), (0.25, -0.15)) * (width, height)
            bow = 0.5 * (root + tip) + rng.normal(0, 0.03, 2) * width
            blade = np.array([root, bow - half, tip, bow + half], np.float32)
            canvas.fill([smooth(blade)], _tinted(rng, leaf, 10), BACKGROUND)
    elif kind == "fence":
        for y in height * (rng.uniform(0.62, 0.75) + np.array([0, 0.12])):
            rail = np.array([(-20, y), (width + 20, y)], np.float32)
            canvas.fill(limb(rail, [0.017 * height] * 2), colour, BACKGROUND)
    else:
        centre = np.array([width * rng.uniform(0.15, 0.85), height * rng.uniform(0.4, 0.95)])
        canvas.fill([circle(centre, width * rng.uniform(0.1, 0.18))], colour, BACKGROUND)


def relight(rng: Generator, image: Image, light: tuple[float, float]) -> Image:
    """Brightness falling off away from the light, a colour cast, contrast and sensor noise on (H, W, 3)."""
    height, width = image.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    slope = rng.uniform(0, 0.16)
    cast = rng.normal(1, 0.035, 3).astype(np.float32) * rng.uniform(0.86, 1.08)
    factor = (1 - slope * (light[0] * x + light[1] * y)) * cast
    noise = rng.standard_normal((height, width, 1), np.float32) * rng.uniform(0, 3)
    return np.clip(image * factor + noise, 0, 255).astype(np.uint8)
