"""Drawing a person's body and clothes, back to front, onto a canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset.people_canvas import Canvas, Colour, Fabric, Image, Points, limb, scaled, smooth
from dataset.people_head import draw_hair_behind, draw_hair_hanging, draw_head
from dataset.people_limbs import LEG_LENGTH, draw_arm, draw_leg
from dataset.people_person import (
    HIP,
    NECK_Y,
    OUTWARD,
    SHOULDER,
    SIDES,
    Person,
    Side,
)
from dataset.people_stage import LABELS, Stage

WAIST_Y = -0.55
# (y, half-width, half-depth) of the trunk from the neck down.
TORSO = (
    (-1.86, 0.17, 0.17),
    (-1.76, 0.40, 0.24),
    (-1.66, 0.74, 0.29),
    (-1.38, 0.70, 0.34),
    (-1.00, 0.58, 0.37),
    (-0.60, 0.50, 0.34),
    (-0.20, 0.54, 0.37),
    (0.10, 0.60, 0.40),
)


def draw_body(canvas: Canvas, person: Person, scale: float, origin: tuple[float, float]) -> None:
    """Draw a whole person whose hips lie at `origin` (x, y pixels), `scale` pixels to a head height."""
    stage = Stage(canvas, person, scale, origin)
    outfit = person.outfit
    top = stage.texture(outfit.top)
    bottom = stage.texture(outfit.bottom) if outfit.base in ("pants", "skirt") else top
    coat = stage.texture(outfit.coat) if outfit.coat else None
    near = [side for side in SIDES if stage.depth(person.arms[side])[1:].mean() > -0.05]
    near.sort(key=lambda side: float(stage.depth(person.arms[side]).mean()))

    _draw_ground_shadow(stage)
    draw_hair_behind(stage)
    for side in SIDES:
        if side not in near:
            draw_arm(stage, side, top, coat)
    for side in sorted(SIDES, key=lambda side: float(stage.depth(person.legs[side]).mean())):
        draw_leg(stage, side, bottom)
    _draw_trunk(stage, top, bottom)
    if coat is not None:
        _draw_coat(stage, coat)
    _draw_neck(stage)
    if outfit.scarf:
        _draw_scarf(stage, outfit.scarf)
    draw_head(stage)
    draw_hair_hanging(stage)
    for side in near:
        draw_arm(stage, side, top, coat)
    if outfit.bag:
        _draw_bag(stage, outfit.bag)


def _draw_ground_shadow(stage: Stage) -> None:
    feet = stage.project(np.stack([stage.person.legs[side][2] for side in SIDES]))
    centre = feet.mean(0)
    stage.canvas.shadow(
        (float(centre[0]) - stage.canvas.light[0] * 0.4 * stage.scale, float(feet[:, 1].max()) + 0.1 * stage.scale),
        (stage.scale * 1.5, stage.scale * 0.42),
        0.42,
    )


def _trunk_levels(person: Person, top: float, bottom: float, grow: float) -> NDArray[np.float64]:
    """The trunk's (y, half-width, half-depth) between two heights, `grow` wider all round."""
    torso = np.array(TORSO)
    heights = np.array([top, *(y for y in torso[:, 0] if top + 0.03 < y < bottom - 0.03), bottom])
    widths = np.interp(heights, torso[:, 0], torso[:, 1]) * (0.4 + 0.6 * person.build)
    widths *= np.interp(heights, [-0.9, -0.2], [1, person.hips])
    depths = np.interp(heights, torso[:, 0], torso[:, 2]) * person.build
    return np.stack([heights, widths + grow, depths + grow], 1)


def _silhouette(stage: Stage, levels: NDArray[np.float64]) -> Points:
    """The outline of a stack of elliptic sections (y, half-width, half-depth), turned with the body."""
    cosine, sine = np.cos(stage.person.yaw), np.sin(stage.person.yaw)
    half = np.hypot(levels[:, 1] * cosine, levels[:, 2] * sine)
    right = np.stack([half, levels[:, 0]], 1)
    left = np.stack([-half, levels[:, 0]], 1)[::-1]
    # The last corners are doubled, so that hems stay straight when the outline is smoothed.
    outline = np.concatenate([right, right[-1:], left[:1], left])
    return stage.plane(smooth(outline.astype(np.float32)))


def _skirt_levels(person: Person, hem: float, start: float, flare: float, grow: float) -> NDArray[np.float64]:
    """Sections of a skirt from `start` to `hem` (y), wide enough for the legs inside it."""
    levels = _trunk_levels(person, start, 0.1, grow)
    reach = [(abs(x), abs(z)) for x, z in (_leg_at(person, side, hem) for side in SIDES)]
    width = max(levels[-1, 1] + flare * (hem - 0.1), max(x for x, _ in reach) + 0.34 * person.build)
    depth = max(levels[-1, 2] + flare * (hem - 0.1), max(z for _, z in reach) + 0.36 * person.build)
    middle = (0.55 * hem + 0.045, (levels[-1, 1] + 1.15 * width) / 2.15, (levels[-1, 2] + 1.15 * depth) / 2.15)
    return np.concatenate([levels, [middle, (hem, width, depth)]])


def _leg_at(person: Person, side: Side, height: float) -> tuple[float, float]:
    """Where (x, z) a leg passes a height (y)."""
    joints = person.legs[side]
    return float(np.interp(height, joints[:, 1], joints[:, 0])), float(np.interp(height, joints[:, 1], joints[:, 2]))


def _draw_trunk(stage: Stage, top: Colour | Image, bottom: Colour | Image) -> None:
    """The garments on the trunk, in the order in which they lie over each other."""
    person, outfit = stage.person, stage.person.outfit
    hem = outfit.hem * LEG_LENGTH + HIP[1]
    trunk = _silhouette(stage, _trunk_levels(person, NECK_Y - 0.06, 0.16, 0.03))
    seat = _silhouette(stage, _trunk_levels(person, WAIST_Y, 0.3, 0.04))
    fill = stage.canvas.fill
    if outfit.base == "pants":
        fill([seat], bottom, LABELS["Pants"])
        fill([trunk], top, LABELS["Upper-clothes"])
    elif outfit.base == "skirt":
        fill([trunk], top, LABELS["Upper-clothes"])
        fill([_silhouette(stage, _skirt_levels(person, hem, WAIST_Y, 0.3, 0.05))], bottom, LABELS["Skirt"])
    elif outfit.base == "dress":
        levels = _skirt_levels(person, hem, NECK_Y - 0.06, 0.3, 0.03)
        fill([_silhouette(stage, levels)], top, LABELS["Dress"])
        _draw_belt(stage, LABELS["Dress"])
    else:
        fill([seat], top, LABELS["Jumpsuits"])
        fill([trunk], top, LABELS["Jumpsuits"])
        _draw_belt(stage, LABELS["Jumpsuits"])
        _draw_front_line(stage, NECK_Y, 0.1, (225, 225, 225), LABELS["Jumpsuits"])
    if outfit.base in ("pants", "skirt"):
        shirt_hem = 0.05 if outfit.base == "pants" else WAIST_Y - 0.05
        darker = scaled(outfit.top.base, 0.6)
        _draw_front_line(stage, NECK_Y + 0.3, shirt_hem, darker, LABELS["Upper-clothes"])


def _draw_belt(stage: Stage, label: int) -> None:
    levels = _trunk_levels(stage.person, WAIST_Y - 0.09, WAIST_Y + 0.07, 0.035)
    darker = scaled(stage.person.outfit.top.accent, 0.45)
    stage.canvas.fill([_silhouette(stage, levels)], darker, label)


def _draw_front_line(stage: Stage, start: float, end: float, colour: Colour, label: int) -> None:
    """A zip or a row of buttons down the front, where the front is to be seen."""
    if np.cos(stage.person.yaw) > 0.2:
        line = stage.project([(0, start, 0.34), (0, WAIST_Y, 0.36), (0, end, 0.38)])
        stage.canvas.fill(limb(line, [0.025 * stage.scale] * 3), colour, label, shade=0)


def _draw_coat(stage: Stage, coat: Colour | Image) -> None:
    """A coat over everything so far, with its opening left out when the front is to be seen."""
    person, outfit = stage.person, stage.person.outfit
    hem = outfit.coat_hem * LEG_LENGTH
    flare = 0.34 if outfit.base in ("skirt", "dress") else 0.16
    outline = _silhouette(stage, _skirt_levels(person, max(hem, 0.3), NECK_Y - 0.06, flare, 0.1))
    holes = []
    gap = 0.17 if outfit.coat_open else 0.02
    if np.cos(person.yaw) > 0.2:
        sections = [
            (0.26, NECK_Y - 0.2),
            (0.24, NECK_Y + 0.1),
            (gap, -1.1),
            (gap + 0.02, WAIST_Y),
            (gap * 1.9, hem + 0.2),
        ]
        left = [(x, y, 0.4) for x, y in sections]
        right = [(-x, y, 0.4) for x, y in sections[::-1]]
        holes.append(stage.project(left + right))
    stage.canvas.fill([outline], coat, LABELS["Coat"], holes)
    darker = scaled(outfit.coat.base, 0.62) if outfit.coat else (0, 0, 0)
    if np.cos(person.yaw) > 0.2:
        _draw_lapels(stage, darker, gap)
    elif np.cos(person.yaw) < -0.2:
        _draw_coat_back(stage, darker, max(hem, 0.3))


def _draw_lapels(stage: Stage, colour: Colour, gap: float) -> None:
    for x in (-1, 1):
        line = stage.project([(x * 0.34, NECK_Y, 0.36), (x * 0.33, NECK_Y + 0.2, 0.4), (x * (gap + 0.06), -1.0, 0.4)])
        outlines = limb(line, [0.09 * stage.scale, 0.1 * stage.scale, 0.03 * stage.scale])
        stage.canvas.fill(outlines, colour, LABELS["Coat"], shade=0.15)


def _draw_coat_back(stage: Stage, colour: Colour, hem: float) -> None:
    """A collar, a half belt and a vent: from behind, they alone tell a coat from a dress."""
    collar = [(-0.32, NECK_Y, -0.2), (0, NECK_Y + 0.04, -0.3), (0.32, NECK_Y, -0.2)]
    belt = [(-0.24, WAIST_Y, -0.36), (0, WAIST_Y, -0.38), (0.24, WAIST_Y, -0.36)]
    vent = [(0, hem - 0.5, -0.4), (0, hem - 0.25, -0.4), (0, hem, -0.4)]
    for line, radius in ((collar, 0.075), (belt, 0.07), (vent, 0.02)):
        outlines = limb(stage.project(line), [radius * stage.scale] * 3, flat_end=line is vent)
        stage.canvas.fill(outlines, colour, LABELS["Coat"], shade=0.15)


def _draw_neck(stage: Stage) -> None:
    """The neck and the neckline; LIP counts a neck's skin as Face."""
    from_front = np.cos(stage.person.yaw) > 0
    low = stage.project([(0, NECK_Y + (0.02 if from_front else -0.04), 0.12)])[0]
    high = stage.project([(0, NECK_Y - 0.35, 0.02)])[0]
    outlines = limb(np.stack([high, low]), [0.2 * stage.scale, 0.19 * stage.scale])
    stage.canvas.fill(outlines, scaled(stage.person.skin, 0.84), LABELS["Face"])


def _draw_scarf(stage: Stage, fabric: Fabric) -> None:
    """A roll around the neck and an end hanging down the front, hidden from behind."""
    paint, unit = stage.texture(fabric), stage.scale
    ring = [(0.46 * np.cos(t), NECK_Y - 0.02, 0.36 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 12)]
    side = OUTWARD["left" if stage.person.lean > 0 else "right"]
    tail = [(side * 0.14, NECK_Y, 0.36), (side * 0.24, -1.2, 0.45), (side * 0.26, -0.75, 0.46)]
    roll = stage.project(ring)
    if np.cos(stage.person.yaw) > -0.2:
        stage.canvas.fill(
            limb(stage.project(tail), [0.15 * unit, 0.19 * unit, 0.2 * unit], True), paint, LABELS["Scarf"]
        )
    stage.canvas.fill([*limb(roll, [0.2 * unit] * 12), roll], paint, LABELS["Scarf"])


def _draw_bag(stage: Stage, colour: Colour) -> None:
    """A bag in the lower hand; LIP has no class for it, so it hides what is behind it as Background."""
    arms = stage.person.arms
    side: Side = "left" if arms["left"][2, 1] > arms["right"][2, 1] else "right"
    if arms[side][2, 1] < SHOULDER[1] + 1:
        return
    hand, unit = stage.project(arms[side][2:] + np.array([0, 0.25, 0]))[0], stage.scale
    box = np.array([(-0.3, 0.25), (0.3, 0.25), (0.36, 0.85), (-0.36, 0.85)], np.float32)
    handle = limb(hand + np.array([(-0.24, 0.3), (0, 0), (0.24, 0.3)], np.float32) * unit, [0.04 * unit] * 3)
    stage.canvas.fill(handle, (40, 50, 60), LABELS["Background"])
    stage.canvas.fill([smooth(hand + box * unit, 1)], colour, LABELS["Background"])
