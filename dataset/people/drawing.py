"""How a figure is drawn: back to front, as tubes through its joints, hulls around its trunk, and a head."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dataset.people.canvas import Canvas, turned
from dataset.people.figure import HIP, LEG_LENGTHS, SIDES, Triple

COLLAR, WAIST = -1.86, -0.55
HEAD, HEAD_RADII = (0, -2.52, 0.05), (0.55, 0.63)
# At shoulder, elbow and hand; at hip, knee and ankle.
ARM_RADII, LEG_RADII = np.array([0.19, 0.17, 0.16]), np.array([0.32, 0.24, 0.16])
# Of the trunk: heights (y), half-widths, half-depths.
TORSO = np.array(
    [
        [-1.86, -1.76, -1.66, -1.38, -1.0, -0.6, -0.2, 0.1],
        [0.17, 0.4, 0.7, 0.7, 0.58, 0.5, 0.54, 0.6],
        [0.17, 0.24, 0.29, 0.34, 0.37, 0.34, 0.37, 0.4],
    ]
)
SLEEVED = ("Coat", "Upper-clothes", "Dress", "Jumpsuits")
# There is hair where a direction from the head's centre (see _draw_head) has up > first + second * forward; it stands
# out as far as the third number says.
HAIR = {
    "short": (0.0, 0.9, 1.1),
    "bob": (-1.3, 2.4, 1.17),
    "long": (-1.3, 2.4, 1.14),
    "ponytail": (0.0, 0.9, 1.1),
    "afro": (-0.8, 2.0, 1.42),
}
# What hangs down of it: a line with a radius at each point.
HANGING = {
    "long": (((0, -2.4, -0.1), (0, -1.9, -0.25), (0, -1.4, -0.3)), (0.55, 0.56, 0.45)),
    "ponytail": (((0, -2.75, -0.5), (0, -2.3, -0.75), (0, -1.6, -0.65)), (0.14, 0.22, 0.09)),
}
# How far the crown stands out, the brim's half-width, and its shift to where the face points, in half-widths of a head.
HATS = {"beanie": (1.26, 1.2, 0.0), "cap": (1.16, 1.15, 0.75), "brim": (1.24, 1.9, 0.0)}


def draw_figure(canvas: Canvas) -> None:
    """Draw the canvas's figure."""
    limbs, yaw = canvas.figure.limbs, canvas.figure.yaw
    near = [side for side in SIDES if turned(limbs[f"{side}-arm"], yaw)[1:, 2].mean() > -0.05]
    hanging, from_behind = HANGING.get(canvas.figure.hair_style), np.cos(yaw) < 0
    if hanging and not from_behind:
        canvas.tube("Hair", *hanging)
    for side in SIDES:
        if side not in near:
            _draw_arm(canvas, side)
    for side in sorted(SIDES, key=lambda side: turned(limbs[f"{side}-leg"], yaw)[1:, 2].mean()):
        _draw_leg(canvas, side)
    _draw_trunk(canvas)
    _draw_neck(canvas)
    _draw_head(canvas)
    if hanging and from_behind:
        canvas.tube("Hair", *hanging)
    for side in near:
        _draw_arm(canvas, side)


def _draw_arm(canvas: Canvas, side: str) -> None:
    figure, name = canvas.figure, f"{side}-arm"
    joints = figure.limbs[name]
    canvas.tube(name, joints, ARM_RADII)
    outermost = next(name for name in SLEEVED if name in figure.fabrics)
    sleeve, wider = (0.86, 0.09) if outermost == "Coat" else (figure.sleeve, 0.06)
    if sleeve:
        canvas.tube(outermost, joints, ARM_RADII + wider, 0, sleeve)
    canvas.tube("Glove", joints, ARM_RADII + 0.06, 0.86)


def _draw_leg(canvas: Canvas, side: str) -> None:
    figure, name = canvas.figure, f"{side}-leg"
    joints = figure.limbs[name]
    # Under a skirt only what can show is drawn, so that no thigh sticks out at its side.
    canvas.tube(name, joints, LEG_RADII, figure.hem - 0.2 if {"Skirt", "Dress"} & figure.fabrics.keys() else 0)
    canvas.tube("Socks", joints, LEG_RADII + 0.03, figure.sock)
    for trousers in ("Pants", "Jumpsuits"):
        canvas.tube(trousers, joints, LEG_RADII + 0.07, 0, figure.hem)
    heel_and_toe = joints[2] + np.array([(0, 0.08, -0.05), (0.1, 0.13, 0.46)]) * (SIDES[side], 1, 1)
    canvas.tube(f"{side}-shoe", heel_and_toe, (0.22, 0.19))


def _draw_trunk(canvas: Canvas) -> None:
    """Draw the garments on the trunk, and a coat over them that is open in front."""
    figure = canvas.figure
    hem, coat_hem = HIP[1] + figure.hem * sum(LEG_LENGTHS), HIP[1] + figure.coat_hem * sum(LEG_LENGTHS)
    _draw_hull(canvas, "Pants", WAIST, 0.3, 0.04)
    _draw_hull(canvas, "Jumpsuits", COLLAR, 0.3, 0.04)
    _draw_hull(canvas, "Upper-clothes", COLLAR, 0.12, 0.03)
    _draw_hull(canvas, "Skirt", WAIST, hem, 0.05)
    _draw_hull(canvas, "Dress", COLLAR, hem, 0.03)
    edge = np.array([(0.24, -2.0, 0.4), (0.22, -1.7, 0.4), (0.15, -1.1, 0.4), (0.3, coat_hem + 0.4, 0.4)])
    opening = canvas.project(np.concatenate([edge, edge[::-1] * (-1, 1, 1)]))
    _draw_hull(canvas, "Coat", COLLAR, coat_hem, 0.1, opening if np.cos(figure.yaw) > 0.2 else None)


def _draw_hull(canvas: Canvas, name: str, top: float, end: float, wider: float, hole: ArrayLike | None = None) -> None:
    """Draw a garment around the trunk from `top` to `end` (y); below the hips it is a skirt around the legs."""
    figure = canvas.figure
    y = np.linspace(top, min(end, 0.3), 16)
    width, depth = (np.interp(y, TORSO[0], half) * figure.build + wider for half in TORSO[1:])
    half = np.hypot(width * np.cos(figure.yaw), depth * np.sin(figure.yaw))
    if end > y[-1]:
        legs = [turned(figure.limbs[f"{side}-leg"], figure.yaw).T for side in SIDES]
        reach = max(abs(np.interp(end, down, right)) for right, down, _ in legs) + 0.36
        y, half = np.append(y, end), np.append(half, max(reach, half[-1] + 0.25 * end))
    outline = np.stack([np.append(half, -half[::-1]), np.append(y, y[::-1])], 1)
    canvas.polygon(name, outline * canvas.unit + canvas.origin, hole)


def _draw_neck(canvas: Canvas) -> None:
    """Draw a neck, which LIP counts as Face, and a scarf around it with an end that hangs down in front."""
    canvas.tube("Face", [(0, -2.15, 0.02), (0, -1.76, 0.1)], (0.2, 0.2))
    if np.cos(canvas.figure.yaw) > -0.2:
        canvas.tube("Scarf", [(0.14, -1.8, 0.36), (0.24, -0.8, 0.45)], (0.15, 0.2))
    canvas.tube("Scarf", [(0.3, -1.8, 0), (0, -1.8, 0.2), (-0.3, -1.8, 0)], (0.26, 0.3, 0.26))


def _draw_head(canvas: Canvas) -> None:
    """Draw a head, where the direction of a pixel from the head's centre says what it is."""
    figure = canvas.figure
    centre, span = canvas.project([HEAD])[0], 1.5 * canvas.unit
    left, top = np.maximum(centre - span, 0).astype(int)
    bottom, right = np.minimum(centre[::-1] + span, canvas.label.shape).astype(int)
    across = ((np.arange(left, right) - centre[0]) / (HEAD_RADII[0] * canvas.unit)).astype(np.float32)
    down = ((np.arange(top, bottom)[:, None] - centre[1]) / (HEAD_RADII[1] * canvas.unit)).astype(np.float32)
    reach = np.hypot(across, down)
    # The direction as the face has it (unit vectors); around the head, that of its rim.
    beyond = np.maximum(reach, 1)
    nearer = np.sqrt(np.maximum(1 - reach**2, 0))
    cosine, sine = np.cos(figure.head_yaw), np.sin(figure.head_yaw)
    sideways = np.abs(across / beyond * cosine - nearer * sine)
    forward = across / beyond * sine + nearer * cosine
    up = -down / beyond
    on_face = (reach < 1.04) & (forward > 0)

    def spots(x: float, y: float, x_radius: float, y_radius: float) -> NDArray[np.bool_]:
        """Ellipses on the face, to the left and to the right."""
        return on_face & (((sideways - x) / x_radius) ** 2 + ((up - y) / y_radius) ** 2 < 1)

    def paint(name: str, where: NDArray[np.bool_], colour: Triple | None = None) -> None:
        canvas.paint(name, where.astype(np.uint8) * np.uint8(255), left, top, colour)

    hairline, slope, volume = HAIR[figure.hair_style]
    paint("Face", reach < 1)
    paint("Face", spots(0.42, 0.03, 0.12, 0.15), (45, 35, 30))
    paint("Face", spots(0, -0.62, 0.27, 0.08), (90, 80, 190))
    paint("Hair", (reach < volume) & (up > np.maximum(hairline + slope * forward, -0.8)))
    paint("Sunglasses", spots(0.45, 0.02, 0.36, 0.36) | (on_face & (np.abs(up - 0.1) < 0.08)))
    crown, brim, shift = HATS[figure.hat_style]
    edge = ((across - shift * sine) / brim) ** 2 + ((down + 0.4 - 0.15 * shift) / 0.2) ** 2 < 1
    paint("Hat", (reach < crown) & (down < -0.4) | edge)
