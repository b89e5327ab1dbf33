"""Who is drawn: a figure's pose, clothes and colours, chosen at random.

Lengths are in head heights. The body's axes are x to the person's left, y down and z forward, from the middle
of the hips. Colours are (blue, green, red), 0..255.
"""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

Triple = tuple[float, float, float]  # a colour, or a point or direction of the body
Points = NDArray[np.float64]
T = TypeVar("T")

SIDES = {"Left": 1, "Right": -1}
"""The person's sides, as LIP's classes name them, with the sign of x there."""
SHOULDER, ARM_LENGTHS = (0.62, -1.55, 0), (1.05, 1.1)
HIP, LEG_LENGTHS = (0.3, 0.05, 0), (1.6, 1.55)

# Directions (outward, down, forward) of a limb's upper and lower part, with how often they are chosen.
ARM_POSES: dict[tuple[Triple, Triple], float] = {
    ((0.28, 1, 0), (0.16, 1, 0.2)): 2.5,  # down
    ((0.65, 0.9, 0), (0.45, 0.95, 0.2)): 2.5,  # away from the body
    ((0.22, 1, 0.5), (0.1, 0.9, 0.75)): 1,  # swung forward
    ((0.25, 1, -0.5), (0.15, 1, -0.15)): 1,  # swung backward
    ((0.8, 0.8, -0.15), (-0.75, 0.6, 0.3)): 1,  # hand on the hip
    ((0.35, 1, 0.1), (-0.8, 0.1, 0.55)): 1,  # across the belly
    ((0.4, 1, 0.1), (0.35, -0.8, 0.5)): 1,  # bent up
    ((0.95, 0.25, 0.1), (0.25, -1, 0.2)): 1,  # waving
    ((0.6, -0.85, 0.1), (0.2, -1, 0.1)): 1,  # raised
    ((1, 0.2, 0), (1, -0.1, 0.2)): 1,  # stretched out
}
LEG_POSES = {
    (((0.06, 1, 0), (0.03, 1, 0)), ((0.06, 1, 0), (0.03, 1, 0))): 1.5,  # standing
    (((0.28, 1, 0), (0.16, 1, 0)), ((0.28, 1, 0), (0.16, 1, 0))): 1.5,  # feet apart
    (((0.02, 1, 0), (0, 1, 0)), ((0.32, 1, 0.25), (0.12, 1, -0.15))): 1.2,  # weight on one leg
    (((0.1, 1, 0.5), (0.05, 1, 0.1)), ((0.1, 1, -0.25), (0.05, 1, -0.55))): 1.6,  # a stride
}
# Degrees from facing the camera: never so square a profile that left and right are a guess.
YAWS = {(0, 25): 0.46, (25, 58): 0.22, (58, 80): 0.07, (128, 152): 0.05, (152, 180): 0.2}

OUTFITS = {("Upper-clothes", "Pants"): 0.31, ("Upper-clothes", "Skirt"): 0.22, ("Dress",): 0.23, ("Jumpsuits",): 0.24}
# What may be worn besides, with its probability.
EXTRAS = {"Coat": 0.28, "Hat": 0.4, "Scarf": 0.27, "Glove": 0.32, "Socks": 0.6, "Sunglasses": 0.38}
# Where garments end, as a share of the arm or leg.
SLEEVES = {0.0: 0.17, 0.3: 0.43, 0.6: 0.15, 0.85: 0.25}
TROUSER_HEMS, SKIRT_HEMS = {0.4: 0.3, 0.7: 0.3, 0.95: 0.4}, {0.36: 0.45, 0.55: 0.35, 0.8: 0.2}
STRIPES = (((0, 1),), ((1, 0),), ((0.7, 0.7),), ((1, 0), (0, 1)))
SKIN = ("Face", "Left-arm", "Right-arm", "Left-leg", "Right-leg")
SKIN_COLOURS = ((196, 224, 255), (160, 198, 243), (130, 176, 228), (96, 142, 202), (60, 95, 150), (48, 68, 108))
HAIR_COLOURS = ((30, 28, 28), (36, 48, 66), (45, 75, 115), (90, 160, 215), (35, 75, 165), (165, 168, 170))
HAIR_STYLES = {"short": 3, "bob": 2, "long": 2.5, "ponytail": 1.5, "afro": 1}


@dataclass(frozen=True)
class Fabric:
    """A surface of colour `base` with stripes of `accent` in directions (x, y), a `pitch` (head heights) apart."""

    base: Triple
    accent: Triple = (0, 0, 0)
    stripes: Sequence[tuple[float, float]] = ()
    pitch: float = 0.3


@dataclass(frozen=True)
class Figure:
    """A posed and dressed person.

    yaw: the turn away from the camera in radians: 0 faces it, a positive yaw turns to the image's right;
    head_yaw: the head's. build: how broad the body is, about 1.
    limbs: of each arm and leg, by LIP class, the joints (3, 3) from the trunk outwards.
    fabrics: what each LIP class looks like that is to be seen: skin, hair and what is worn.
    sleeve, hem, coat_hem, sock: where a garment ends (a sock: begins), as a share of the arm or leg from the trunk.
    """

    yaw: float
    head_yaw: float
    build: float
    limbs: Mapping[str, Points]
    fabrics: Mapping[str, Fabric]
    hair_style: str
    hat_style: str
    sleeve: float
    hem: float
    coat_hem: float
    sock: float


def choose(rng: Generator, options: Mapping[T, float] | Sequence[T]) -> T:
    """Return one of the options, evenly or by the weights that a mapping gives."""
    if not isinstance(options, Mapping):
        return options[int(rng.integers(len(options)))]
    weights = np.array(list(options.values()))
    return list(options)[rng.choice(len(weights), p=weights / weights.sum())]


def sample_colour(rng: Generator) -> Triple:
    """Return a colour: one in three is a grey, the rest are moderately strong."""
    saturation = rng.uniform(0, 0.1) if rng.random() < 0.33 else rng.uniform(0.27, 0.84)
    blue, green, red = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.2, 0.95))
    return 255 * blue, 255 * green, 255 * red


def sample_fabric(rng: Generator) -> Fabric:
    stripes = choose(rng, STRIPES) if rng.random() < 0.4 else ()
    return Fabric(sample_colour(rng), sample_colour(rng), stripes, rng.uniform(0.16, 0.42))


def sample_figure(rng: Generator) -> Figure:
    yaw = np.deg2rad(rng.uniform(*choose(rng, YAWS))) * choose(rng, (-1, 1))
    extras = [name for name, probability in EXTRAS.items() if rng.random() < probability]
    fabrics = {name: sample_fabric(rng) for name in (*choose(rng, OUTFITS), *extras, "Left-shoe")}
    fabrics["Right-shoe"] = fabrics["Left-shoe"]
    if "Sunglasses" in fabrics:
        fabrics["Sunglasses"] = Fabric((30, 25, 25))
    fabrics |= dict.fromkeys(SKIN, Fabric(choose(rng, SKIN_COLOURS))) | {"Hair": Fabric(choose(rng, HAIR_COLOURS))}
    legs = choose(rng, LEG_POSES)[:: choose(rng, (-1, 1))]
    hems = SKIRT_HEMS if {"Skirt", "Dress"} & fabrics.keys() else TROUSER_HEMS
    return Figure(
        yaw=yaw,
        head_yaw=yaw + rng.uniform(-0.35, 0.35),
        build=rng.uniform(0.86, 1.22),
        limbs={f"{side}-arm": _limb(rng, side, SHOULDER, choose(rng, ARM_POSES), ARM_LENGTHS) for side in SIDES}
        | {f"{side}-leg": _limb(rng, side, HIP, pose, LEG_LENGTHS) for side, pose in zip(SIDES, legs, strict=True)},
        fabrics=fabrics,
        hair_style=choose(rng, HAIR_STYLES),
        hat_style=choose(rng, ("beanie", "cap", "brim")),
        sleeve=choose(rng, SLEEVES),
        hem=choose(rng, hems) + rng.uniform(-0.05, 0.03),
        coat_hem=rng.uniform(0.12, 0.62),
        sock=rng.uniform(0.7, 0.87),
    )


def _limb(rng: Generator, side: str, start: Triple, directions: ArrayLike, lengths: ArrayLike) -> Points:
    """Return the joints (3, 3) of a limb, whose directions are disturbed a little."""
    bones = np.asarray(directions) + rng.normal(0, 0.07, (2, 3))
    bones *= np.asarray(lengths)[:, None] / np.linalg.norm(bones, axis=1, keepdims=True)
    return np.cumsum([start, *bones], axis=0) * (SIDES[side], 1, 1)
