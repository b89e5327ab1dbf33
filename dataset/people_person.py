"""Who is drawn: sampling a person's pose, build, looks and clothes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from dataset.people_canvas import Colour, Fabric

Skeleton = NDArray[np.float64]
Side = Literal["left", "right"]
T = TypeVar("T")
SIDES: tuple[Side, Side] = ("left", "right")
OUTWARD = {"left": 1.0, "right": -1.0}

# Lengths are in head heights. A body's axes: x to the person's left, y down, z forward; the hips are the origin.
SHOULDER = (0.65, -1.55, 0.0)
HIP = (0.30, 0.05, 0.0)
NECK_Y = -1.80
HEAD_Y = -2.52
HEAD_RADII = (0.55, 0.63)
UPPER_ARM, FOREARM, THIGH, SHANK = 1.05, 0.95, 1.60, 1.55

# Directions (outward, down, forward) of the upper and the lower part of a limb.
Direction = tuple[float, float, float]
ARM_POSES: dict[str, tuple[Direction, Direction]] = {
    "down": ((0.28, 1, 0), (0.16, 1, 0.2)),
    "away": ((0.65, 0.9, 0), (0.45, 0.95, 0.2)),
    "forward swing": ((0.22, 1, 0.5), (0.1, 0.9, 0.75)),
    "backward swing": ((0.25, 1, -0.5), (0.15, 1, -0.15)),
    "hip": ((0.8, 0.8, -0.15), (-0.75, 0.6, 0.3)),
    "across": ((0.35, 1, 0.1), (-0.8, 0.1, 0.55)),
    "bent up": ((0.4, 1, 0.1), (0.35, -0.8, 0.5)),
    "wave": ((0.95, 0.25, 0.1), (0.25, -1, 0.2)),
    "raised": ((0.6, -0.85, 0.1), (0.2, -1, 0.1)),
    "out": ((1, 0.2, 0), (1, -0.1, 0.2)),
    "reach": ((0.35, 0.5, 0.7), (0.1, 0.1, 1)),
}
LEG_POSES: dict[str, tuple[tuple[Direction, Direction], tuple[Direction, Direction]]] = {
    "stand": (((0.06, 1, 0), (0.03, 1, 0)), ((0.06, 1, 0), (0.03, 1, 0))),
    "apart": (((0.28, 1, 0), (0.16, 1, 0)), ((0.28, 1, 0), (0.16, 1, 0))),
    "contrapposto": (((0.02, 1, 0), (0, 1, 0)), ((0.32, 1, 0.25), (0.12, 1, -0.15))),
    "stride": (((0.1, 1, 0.5), (0.05, 1, 0.1)), ((0.1, 1, -0.25), (0.05, 1, -0.55))),
    "knee up": (((0.04, 1, 0), (0.02, 1, 0)), ((0.3, 0.75, 0.75), (0.1, 1, -0.3))),
}
SKINS = ((196, 224, 255), (160, 198, 243), (130, 176, 228), (96, 142, 202), (60, 95, 150), (48, 68, 108))
HAIRS = ((30, 28, 28), (36, 48, 66), (45, 75, 115), (90, 160, 215), (35, 75, 165), (165, 168, 170))
DYED_HAIRS = ((150, 90, 220), (190, 130, 60), (120, 170, 70))


@dataclass(frozen=True)
class Outfit:
    """What a person wears. Lengths: a share of the arm, or of the leg, from its top; 0 is none."""

    base: Literal["pants", "skirt", "dress", "jumpsuit"]
    top: Fabric  # Upper-clothes, or the whole dress or jumpsuit
    bottom: Fabric  # pants or skirt
    sleeve: float
    hem: float
    coat: Fabric | None
    coat_hem: float
    coat_open: bool
    hat: Literal["none", "cap", "beanie", "brim", "bucket"]
    hat_fabric: Fabric
    scarf: Fabric | None
    gloves: Fabric | None
    socks: Fabric | None
    sock_height: float
    shoe: Colour
    sole: Colour
    boots: bool
    sunglasses: Colour | None
    round_glasses: bool
    bag: Colour | None


@dataclass(frozen=True)
class Person:
    """A posed, dressed person.

    `yaw` is the turn away from the camera in radians: 0 faces it, a positive yaw turns towards the image's
    right (which is the person's left), pi shows the back. `arms` and `legs` hold three joints (3, 3) a side.
    """

    yaw: float
    head_yaw: float
    lean: float
    build: float
    hips: float
    arms: dict[Side, Skeleton]
    legs: dict[Side, Skeleton]
    skin: Colour
    hair: Colour
    hair_style: Literal["short", "bob", "long", "ponytail", "bun", "afro", "bald"]
    outfit: Outfit

    @property
    def facing(self) -> Literal["front", "side", "back"]:
        """How the body is seen: front and back are within 45 degrees of square to the camera."""
        toward = np.cos(self.yaw)
        return "front" if toward > 0.7 else "back" if toward < -0.7 else "side"


def choose(rng: Generator, options: dict[T, float] | Sequence[T]) -> T:
    """One of the options, evenly or by the weights that a dictionary gives."""
    if not isinstance(options, dict):
        return options[int(rng.integers(len(options)))]
    names = list(options)
    weights = np.array(list(options.values()), np.float64)
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def chance(rng: Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def sample_colour(rng: Generator, low: int = 50, high: int = 240) -> Colour:
    """A clothing colour (BGR): one in three is a grey, white or black, the rest are moderately strong."""
    saturation = rng.integers(0, 25) if chance(rng, 0.33) else rng.integers(70, 215)
    hsv = np.array([[[rng.integers(0, 180), saturation, rng.integers(low, high)]]], np.uint8)
    blue, green, red = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0]
    return int(blue), int(green), int(red)


def sample_fabric(rng: Generator, plain: float = 0.55) -> Fabric:
    kind = "plain" if chance(rng, plain) else choose(rng, ("stripes", "checks", "dots", "noise"))
    base, accent = sample_colour(rng), sample_colour(rng)
    if np.abs(np.subtract(base, accent)).sum() < 120:
        accent = (245, 245, 245) if sum(base) < 380 else (50, 45, 45)
    angle = float(choose(rng, (0, 0, 90, 45)) + rng.normal(0, 4))
    return Fabric(kind, base, accent, float(rng.uniform(0.16, 0.42)), angle)


def sample_person(rng: Generator) -> Person:
    """A person at random; the generator's state decides everything."""
    yaw = _sample_yaw(rng)
    build = float(rng.uniform(0.86, 1.22))
    skin = np.array(choose(rng, SKINS)) * rng.uniform(0.93, 1.04)
    outfit = _sample_outfit(rng)
    hair = choose(rng, DYED_HAIRS if chance(rng, 0.08) else HAIRS)
    styles = {"short": 3.0, "bob": 2.0, "long": 2.5, "ponytail": 1.2, "bun": 1.2, "afro": 1.0, "bald": 0.4}
    return Person(
        yaw=yaw,
        head_yaw=yaw + float(rng.uniform(-0.35, 0.35)),
        lean=float(rng.normal(0, 0.045)),
        build=build,
        hips=float(rng.uniform(0.92, 1.15)),
        arms=_sample_arms(rng, build),
        legs=_sample_legs(rng, build, skirted=outfit.base in ("skirt", "dress")),
        skin=_as_colour(skin),
        hair=hair,
        hair_style=choose(rng, styles),  # type: ignore[arg-type]
        outfit=outfit,
    )


def _as_colour(values: NDArray[np.float64]) -> Colour:
    blue, green, red = np.clip(values, 0, 255).astype(int)
    return int(blue), int(green), int(red)


def _sample_yaw(rng: Generator) -> float:
    """Mostly towards the camera; a quarter from behind; never so square a profile that sides are a guess."""
    view = choose(rng, {"front": 0.46, "three-quarter": 0.22, "profile": 0.07, "back": 0.20, "back turned": 0.05})
    low, high = {
        "front": (0, 25),
        "three-quarter": (25, 58),
        "profile": (58, 80),
        "back": (152, 180),
        "back turned": (128, 152),
    }[view]
    return float(np.deg2rad(rng.uniform(low, high)) * choose(rng, (-1, 1)))


def _chain(
    start: Sequence[float],
    directions: Sequence[Sequence[float]],
    lengths: Sequence[float],
    outward: float,
    rng: Generator,
) -> Skeleton:
    """Joints (len(directions) + 1, 3) of a limb whose directions are disturbed a little."""
    joints = [np.array(start) * (outward, 1, 1)]
    for direction, length in zip(directions, lengths, strict=True):
        bent = np.array(direction) + rng.normal(0, 0.07, 3)
        joints.append(joints[-1] + bent * (outward, 1, 1) * (length / np.linalg.norm(bent)))
    return np.stack(joints)


def _sample_arms(rng: Generator, build: float) -> dict[Side, Skeleton]:
    arms: dict[Side, Skeleton] = {}
    same = choose(rng, list(ARM_POSES)) if chance(rng, 0.25) else None
    for side in SIDES:
        pose = same or choose(rng, {name: 2.5 if name in ("down", "away") else 1.0 for name in ARM_POSES})
        shoulder = (SHOULDER[0] * (0.4 + 0.6 * build), *SHOULDER[1:])
        arms[side] = _chain(shoulder, ARM_POSES[pose], (UPPER_ARM, FOREARM), OUTWARD[side], rng)
    return arms


def _sample_legs(rng: Generator, build: float, skirted: bool) -> dict[Side, Skeleton]:
    weights = {"stand": 1.5, "apart": 1.5, "contrapposto": 1.2, "stride": 1.6, "knee up": 0.6}
    if skirted:
        del weights["knee up"]  # the skirts that are drawn do not follow a raised thigh
    pose = choose(rng, weights)
    first, second = LEG_POSES[pose]
    leading: Side = choose(rng, SIDES)
    hip = (HIP[0] * build, *HIP[1:])
    length = rng.uniform(0.92, 1.05)
    return {
        side: _chain(hip, first if side == leading else second, (THIGH * length, SHANK * length), OUTWARD[side], rng)
        for side in SIDES
    }


def _sample_outfit(rng: Generator) -> Outfit:
    """Clothes at random, so that every class is on a fair share of people."""
    base = choose(rng, {"pants": 0.31, "skirt": 0.22, "dress": 0.23, "jumpsuit": 0.24})
    coat = sample_fabric(rng, plain=0.75) if chance(rng, 0.28) else None
    if base in ("pants", "jumpsuit"):
        hem = choose(rng, {0.40: 0.3, 0.72: 0.3, 0.97: 0.4})
    else:
        hem = choose(rng, {0.36: 0.45, 0.55: 0.35, 0.85: 0.2})
    shoe = sample_colour(rng, 30, 230)
    return Outfit(
        base=base,  # type: ignore[arg-type]
        top=sample_fabric(rng),
        bottom=sample_fabric(rng, plain=0.7),
        sleeve=choose(rng, {0.0: 0.17, 0.3: 0.43, 0.62: 0.15, 0.97: 0.25}),
        hem=hem + float(rng.uniform(-0.05, 0.03)),
        coat=coat,
        coat_hem=float(rng.uniform(0.12, 0.62)),
        coat_open=chance(rng, 0.7),
        hat=choose(rng, {"none": 0.60, "cap": 0.11, "beanie": 0.11, "brim": 0.11, "bucket": 0.07}),
        hat_fabric=sample_fabric(rng, plain=0.75),
        scarf=sample_fabric(rng, plain=0.4) if chance(rng, 0.27) else None,
        gloves=sample_fabric(rng, plain=0.85) if chance(rng, 0.32) else None,
        socks=sample_fabric(rng, plain=0.5) if chance(rng, 0.6) else None,
        sock_height=float(rng.uniform(0.25, 0.62)),
        shoe=shoe,
        sole=choose(rng, ((235, 235, 235), (40, 40, 40), (90, 130, 170))),
        boots=chance(rng, 0.2),
        sunglasses=choose(rng, ((25, 22, 22), (30, 30, 60), (90, 45, 25))) if chance(rng, 0.38) else None,
        round_glasses=chance(rng, 0.5),
        bag=sample_colour(rng) if chance(rng, 0.12) else None,
    )
