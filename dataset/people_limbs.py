"""Drawing arms and legs, with what is worn on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataset.people_canvas import Colour, Image, circle, limb
from dataset.people_person import OUTWARD, SHANK, THIGH, Side, Skeleton
from dataset.people_stage import ARM, LABELS, LEG, SHOE, Stage

LEG_LENGTH = THIGH + SHANK
# Shoulder, elbow, wrist; hip, knee, ankle.
ARM_RADII = (0.19, 0.17, 0.14)
LEG_RADII = (0.32, 0.24, 0.16)


def _section(joints: Skeleton, radii: Sequence[float], start: float, end: float) -> tuple[Skeleton, list[float]]:
    """The stretch of a limb between two shares (0..1) of its length, with its radii."""
    lengths = np.linalg.norm(np.diff(joints, axis=0), axis=1)
    position = np.concatenate([[0], np.cumsum(lengths)]) / lengths.sum()
    shares = [start, *(p for p in position if start + 0.02 < p < end - 0.02), end]
    points = np.stack([np.interp(shares, position, joints[:, axis]) for axis in range(3)], 1)
    return points, [float(r) for r in np.interp(shares, position, radii)]


def _draw_tube(
    stage: Stage,
    joints: Skeleton,
    radii: Sequence[float],
    span: tuple[float, float],
    paint: Colour | Image,
    label: int,
    flat_end: bool = True,
) -> None:
    points, widths = _section(joints, radii, *span)
    outlines = limb(stage.project(points), [width * stage.scale for width in widths], flat_end)
    stage.canvas.fill(outlines, paint, label)


def draw_arm(stage: Stage, side: Side, top: Colour | Image, coat: Colour | Image | None) -> None:
    """One arm: skin and hand, then glove, then the sleeve of whatever is worn outermost."""
    person, outfit = stage.person, stage.person.outfit
    joints = person.arms[side]
    radii = [radius * (0.35 + 0.65 * person.build) for radius in ARM_RADII]
    along = joints[2] - joints[1]
    palm = joints[2] + along * (0.17 / np.linalg.norm(along))
    elbow, wrist, hand = stage.project(np.stack([joints[1], joints[2], palm]))
    thumb = hand + np.array([stage.side_x(side), -0.4]) * -0.14 * stage.scale
    skin = limb(stage.project(joints), [radius * stage.scale for radius in radii])
    fist = [*limb(np.stack([wrist, hand]), [radii[2] * stage.scale, 0.17 * stage.scale])]
    fist.append(circle(thumb, 0.07 * stage.scale))
    stage.canvas.fill(skin + fist, person.skin, ARM[side])

    sleeve = 0.98 if coat is not None else outfit.sleeve
    garment = coat if coat is not None else top
    label = LABELS["Coat"] if coat is not None else stage.top_label
    wide = [radius + extra for radius, extra in zip(radii, (0.05, 0.07, 0.075), strict=True)]
    if coat is not None:
        wide = [width + 0.025 for width in wide]
    if sleeve:
        _draw_tube(stage, joints, wide, (0.0, sleeve), garment, label)
    if outfit.gloves:
        glove = stage.texture(outfit.gloves)
        cuff = wrist + 0.42 * (elbow - wrist) * (1.0 if sleeve < 0.9 else 0.75)
        outlines = limb(
            np.stack([hand, wrist, cuff]),
            [0.24 * stage.scale, (radii[2] + 0.05) * stage.scale, (radii[2] + 0.1) * stage.scale],
            flat_end=True,
        )
        outlines.append(circle(thumb, 0.1 * stage.scale))
        stage.canvas.fill(outlines, glove, LABELS["Glove"])


def draw_leg(stage: Stage, side: Side, trousers: Colour | Image) -> None:
    """One leg: skin, sock, shoe, and the trouser leg over them."""
    person, outfit = stage.person, stage.person.outfit
    joints = person.legs[side]
    radii = [radius * (0.3 + 0.7 * person.build) for radius in LEG_RADII]
    from_behind = np.cos(person.yaw) < -0.1
    if from_behind:
        _draw_shoe(stage, side)
    # Under a skirt only what can show is drawn, so that no thigh sticks out at its side.
    start = max(outfit.hem - 0.2, 0.0) if outfit.base in ("skirt", "dress") else 0.0
    _draw_tube(stage, joints, radii, (start, 1.0), person.skin, LEG[side])
    if outfit.socks:
        sock = stage.texture(outfit.socks)
        start = 1 - outfit.sock_height * SHANK / LEG_LENGTH
        _draw_tube(stage, joints, [r + 0.03 for r in radii], (start, 1.0), sock, LABELS["Socks"])
    if not from_behind:
        _draw_shoe(stage, side)
    if outfit.boots:
        _draw_tube(stage, joints, [r + 0.06 for r in radii], (0.8, 1.0), outfit.shoe, SHOE[side])
    if outfit.base in ("pants", "jumpsuit"):
        label = LABELS["Pants" if outfit.base == "pants" else "Jumpsuits"]
        wide = [radii[0] + 0.03, radii[1] + 0.06, radii[2] + 0.08]
        _draw_tube(stage, joints, wide, (0.0, outfit.hem), trousers, label)


def _draw_shoe(stage: Stage, side: Side) -> None:
    """A shoe from heel to toe; the toe points where the body faces, a little outwards."""
    ankle = stage.person.legs[side][2]
    heel, ball, toe = (
        ankle + np.array([OUTWARD[side] * x, y, z])
        for x, y, z in ((0, 0.08, -0.05), (0.07, 0.12, 0.3), (0.1, 0.13, 0.46))
    )
    points = stage.project(np.stack([heel, ball, toe]))
    unit = stage.scale
    outlines = limb(points, [0.21 * unit, 0.22 * unit, 0.17 * unit])
    sole = [outline + np.array([0, 0.06 * unit], np.float32) for outline in outlines]
    stage.canvas.fill(sole, stage.person.outfit.sole, SHOE[side], shade=0.1)
    stage.canvas.fill(outlines, stage.person.outfit.shoe, SHOE[side])
