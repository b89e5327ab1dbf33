"""Drawing a head: every pixel of an egg knows its direction from the head's centre, and that says what it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset.people_canvas import Colour, Image, circle, limb, scaled, smooth
from dataset.people_person import HEAD_RADII, HEAD_Y
from dataset.people_stage import LABELS, TILT, Stage

Angles = NDArray[np.float32]
# Hair ends above the first row's azimuths (degrees from the face's middle) at the elevations of its style.
AZIMUTHS = (0, 45, 70, 95, 125, 180)
HAIRLINES: dict[str, tuple[float, ...]] = {
    "short": (40, 36, 14, -6, -42, -48),
    "bob": (38, 26, -42, -75, -80, -80),
    "long": (40, 30, -30, -75, -80, -80),
    "ponytail": (42, 36, 16, -4, -40, -48),
    "bun": (42, 36, 16, -4, -40, -48),
    "afro": (36, 32, 0, -25, -50, -55),
    "bald": (200, 200, 200, -8, -30, -36),
}
VOLUME = {"short": 1.1, "bob": 1.17, "long": 1.14, "ponytail": 1.08, "bun": 1.08, "afro": 1.42, "bald": 1.02}


class HeadMap:
    """The pixels around a head with their direction from its centre.

    `reach` is the distance from the centre (1 on the head's own outline), `azimuth` in degrees from the
    face's middle (positive to the person's left), `elevation` in degrees above it; outside the outline they
    are those of the outline. `left`, `top` place the maps (h, w) on the canvas.
    """

    def __init__(self, stage: Stage) -> None:
        person = stage.person
        self.stage = stage
        self.centre = stage.plane([(0.06 * np.sin(person.yaw), HEAD_Y)])[0]
        self.radii = np.array(HEAD_RADII) * stage.scale
        span = np.ceil(self.radii * 1.45).astype(int)
        self.left, self.top = (np.floor(self.centre) - span).astype(int)
        x = np.arange(2 * span[0], dtype=np.float32)[None] + self.left - self.centre[0]
        y = np.arange(2 * span[1], dtype=np.float32)[:, None] + self.top - self.centre[1]
        cosine, sine = np.cos(person.lean), np.sin(person.lean)
        across = (x * cosine + y * sine) / self.radii[0]
        down = (y * cosine - x * sine) / self.radii[1]
        across = across / _jaw(down)
        self.reach: Angles = np.hypot(across, down)
        beyond = np.maximum(self.reach, 1)
        across, down = across / beyond, down / beyond
        toward = np.sqrt(np.maximum(1 - across**2 - down**2, 0))
        cosine, sine = np.cos(person.head_yaw), np.sin(person.head_yaw)
        sideways = across * cosine - toward * sine
        forward = across * sine + toward * cosine
        self.azimuth: Angles = np.degrees(np.arctan2(sideways, forward)).astype(np.float32)
        self.elevation: Angles = np.degrees(np.arcsin(np.clip(-down, -1, 1))).astype(np.float32)

    def fill(self, mask: NDArray[np.bool_], paint: Colour | Image, label: int, shade: float = 0.3) -> None:
        pixels = mask.astype(np.uint8) * np.uint8(255)
        self.stage.canvas.fill_mask(pixels, self.left, self.top, paint, label, shade)

    def point(self, azimuth: float, elevation: float, reach: float = 1.0) -> tuple[NDArray[np.float32], float]:
        """The pixel (2,) of a direction from the head's centre, and how far (-1..1) it faces the viewer."""
        person = self.stage.person
        turned = np.deg2rad(azimuth) + person.head_yaw
        level, height = np.cos(np.deg2rad(elevation)), np.sin(np.deg2rad(elevation))
        across = np.sin(turned) * level * _jaw(np.array(-height))
        offset = np.array([across, -height]) * self.radii * reach
        cosine, sine = np.cos(person.lean), np.sin(person.lean)
        x, y = offset[0] * cosine - offset[1] * sine, offset[0] * sine + offset[1] * cosine
        return (self.centre + np.array([x, y])).astype(np.float32), float(np.cos(turned) * level)


def _jaw(down: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much narrower than an ellipse the head is at a height (-1 top .. 1 chin)."""
    return 1 - 0.15 * np.clip(down, 0, 1) ** 1.5


def _from_behind(stage: Stage) -> bool:
    return bool(np.cos(stage.person.head_yaw) < 0)


def draw_hair_behind(stage: Stage) -> None:
    """Hair that hangs behind the shoulders of someone who faces the viewer."""
    if not _from_behind(stage):
        _draw_long_hair(stage)


def draw_hair_hanging(stage: Stage) -> None:
    """Hair that hangs over the back of someone seen from behind."""
    if _from_behind(stage):
        _draw_long_hair(stage)


def _draw_long_hair(stage: Stage) -> None:
    person = stage.person
    backward = -np.sin(person.head_yaw)
    hair, label = person.hair, LABELS["Hair"]
    if person.hair_style == "long":
        shape = [
            (-0.5, HEAD_Y),
            (0.5, HEAD_Y),
            (0.56, -1.9),
            (0.5, -1.35),
            (0.2, -1.2),
            (-0.2, -1.2),
            (-0.5, -1.35),
            (-0.56, -1.9),
        ]
        outline = np.array(shape, np.float32) + np.array([0.26 * backward, 0], np.float32)
        stage.canvas.fill([stage.plane(smooth(outline))], hair, label)
    elif person.hair_style == "ponytail":
        strand = [(0.42 * backward, HEAD_Y - 0.2), (0.72 * backward, HEAD_Y + 0.25), (0.62 * backward, HEAD_Y + 1.0)]
        stage.canvas.fill(limb(stage.plane(strand), [stage.scale * r for r in (0.14, 0.22, 0.09)]), hair, label)
    elif person.hair_style == "bun":
        bun = stage.plane([(0.4 * backward, HEAD_Y - 0.52)])[0]
        stage.canvas.fill([circle(bun, 0.27 * stage.scale)], hair, label)


def draw_head(stage: Stage) -> None:
    """Skin, features, hair, sunglasses and hat."""
    head = HeadMap(stage)
    person = stage.person
    head.fill(head.reach < 1, person.skin, LABELS["Face"], shade=0.22)
    _draw_features(head)
    hairline = np.interp(np.abs(head.azimuth), AZIMUTHS, HAIRLINES[person.hair_style])
    # Only the upper part of the hair has volume; a bob also has some around the jaw.
    volume = VOLUME[person.hair_style]
    head.fill((head.reach < volume) & (head.elevation > hairline), person.hair, LABELS["Hair"])
    if person.hair_style in ("short", "ponytail", "bun", "bald"):
        _draw_ears(head)
    if person.outfit.sunglasses:
        _draw_sunglasses(head, person.outfit.sunglasses)
    if person.outfit.hat != "none":
        _draw_hat(head)


def _draw_ears(head: HeadMap) -> None:
    for azimuth in (-96.0, 96.0):
        ear, toward = head.point(azimuth, -6, 1.03)
        if toward > -0.35:
            outline = circle(ear, 0.1 * head.stage.scale, 1.4)
            head.stage.canvas.fill([outline], scaled(head.stage.person.skin, 0.84), LABELS["Face"])


def _draw_features(head: HeadMap) -> None:
    """Eyes, brows, nose and mouth, all of them Face."""
    azimuth, elevation = head.azimuth, head.elevation
    across = np.abs(azimuth) - 25
    on_head = head.reach < 1
    face = LABELS["Face"]
    skin = head.stage.person.skin
    lips = (int(0.62 * skin[0]), int(0.55 * skin[1]), int(min(255, 0.9 * skin[2] + 20)))
    head.fill(on_head & ((across / 10) ** 2 + ((elevation - 1) / 8) ** 2 < 1), (245, 245, 245), face, 0)
    head.fill(on_head & ((across / 5.5) ** 2 + ((elevation - 1) / 7.5) ** 2 < 1), (45, 35, 30), face, 0)
    brows = (np.abs(across) < 12) & (np.abs(elevation - 15 + 0.02 * across**2) < 2.6)
    head.fill(on_head & brows, scaled(head.stage.person.hair, 0.7), face, 0)
    smile = (np.abs(azimuth) < 19) & (np.abs(elevation + 40 - 0.014 * azimuth**2) < 4)
    head.fill(on_head & smile, lips, face, 0)
    nose, toward = head.point(0, -14, 1.03)
    if toward > -0.1:
        head.stage.canvas.fill(
            [circle(nose, 0.075 * head.stage.scale, 1.25)], scaled(head.stage.person.skin, 0.84), face
        )


def _draw_sunglasses(head: HeadMap, colour: Colour) -> None:
    """Two large lenses, a bridge and temples, wherever they face the viewer."""
    azimuth, elevation = np.abs(head.azimuth), head.elevation
    power = 2 if head.stage.person.outfit.round_glasses else 5
    lens = np.abs((azimuth - 28) / 24) ** power + np.abs((elevation - 1) / 21) ** power < 1
    bridge = (azimuth < 10) & (np.abs(elevation - 6) < 4.5)
    temple = (azimuth > 40) & (azimuth < 92) & (np.abs(elevation - 6) < 4.5)
    seen = head.reach < 1.04
    label = LABELS["Sunglasses"]
    head.fill(seen & (lens | bridge | temple), colour, label, shade=0.2)
    glint = ((azimuth - 22) / 6) ** 2 + ((elevation - 7) / 4) ** 2 < 1
    head.fill(seen & glint, scaled(colour, 1, plus=90), label, 0)


def _draw_hat(head: HeadMap) -> None:
    stage, outfit = head.stage, head.stage.person.outfit
    paint, label, unit = stage.texture(outfit.hat_fabric), LABELS["Hat"], stage.scale
    accent = outfit.hat_fabric.accent
    band = {"cap": 20, "beanie": 16, "brim": 24, "bucket": 24}[outfit.hat]
    bulge = {"cap": 1.17, "beanie": 1.25, "brim": 1.3, "bucket": 1.28}[outfit.hat]
    if outfit.hat in ("brim", "bucket"):
        _draw_brim(head, paint, 1.02 if outfit.hat == "brim" else 0.8, drop=0.0 if outfit.hat == "brim" else 0.16)
    head.fill((head.reach < bulge) & (head.elevation > band), paint, label)
    if outfit.hat == "cap":
        rim = [head.point(a, 22, r)[0] for a, r in ((-60, 1.1), (-35, 1.75), (0, 2.0), (35, 1.75), (60, 1.1))]
        peak = np.array(rim) + np.array([0, TILT * unit * 0.75 * np.cos(stage.person.head_yaw)])
        if np.cos(stage.person.head_yaw) > -0.2:
            rear = np.array([head.point(a, 26, 1.1)[0] for a in (60, 0, -60)])
            stage.canvas.fill([smooth(np.concatenate([peak, rear]).astype(np.float32))], accent, label)
    elif outfit.hat == "beanie":
        head.fill((head.reach < bulge + 0.05) & (np.abs(head.elevation - band - 6) < 8), accent, label)
        stage.canvas.fill([circle(head.point(0, 90, 1.3)[0], 0.17 * unit)], accent, label)
    else:
        head.fill((head.reach < bulge) & (np.abs(head.elevation - band - 6) < 6), accent, label)


def _draw_brim(head: HeadMap, paint: Colour | Image, radius: float, drop: float) -> None:
    """A round brim, seen a little from above."""
    unit = head.stage.scale
    centre, _ = head.point(0, 90, 0.42)
    outlines = [circle(centre, radius * unit, TILT * 1.2)]
    if drop:
        lower = centre + np.array([0, drop * unit], np.float32)
        outlines += [*limb(np.stack([centre, lower]), [radius * unit * 0.9] * 2)[2:]]
        outlines.append(circle(lower, radius * unit, TILT * 1.2))
    head.stage.canvas.fill(outlines, paint, LABELS["Hat"])
