"""Training augmentation: colour, scale, rotation, mirror, then one warp to the crop.

The order and the amounts are those the published weights were trained with. Every draw comes from the generator
that is passed in, so an item depends on nothing but its seed.
"""

from typing import TypedDict

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from dataset.geometry import affine_matrix, crop_box, warp_image, warp_label

COLOUR_PROBABILITY = 0.5
BRIGHTNESS, CONTRAST, SATURATION, HUE = 0.1026, 0.0935, 0.8386, 0.1592
BLUR_RADIUS = 2
SCALE_DEVIATION, SCALE_RANGE = 0.25, (0.75, 1.25)
ROTATION_PROBABILITY = 0.6
ROTATION_DEVIATION, ROTATION_RANGE = 30.0, (-60.0, 60.0)
MIRROR_PROBABILITY = 0.5


class Switches(TypedDict, total=False):
    """What `augment` does, all of it by default."""

    random_mirror: bool
    random_scale: bool
    random_rotation: bool
    random_colour: bool


def augment(
    image: NDArray[np.uint8],
    label: NDArray[np.uint8],
    input_size: tuple[int, int],
    rng: np.random.Generator,
    *,
    mirror_table: NDArray[np.uint8],
    random_mirror: bool = True,
    random_scale: bool = True,
    random_rotation: bool = True,
    random_colour: bool = True,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a random crop of a photograph and its labels, sized `input_size` (height, width).

    image: (H, W, 3) uint8 BGR; label: (H, W) uint8 class indices, 255 = ignore. Outside the photograph the crop
    is black and ignored. `mirror_table` is that of the dataset's description.
    """
    if random_colour:
        image = change_colours(image, rng)
    box = crop_box((image.shape[0], image.shape[1]), input_size)
    center, scale = box
    if random_scale:
        scale = scale * np.float32(random_scale_factor(rng))
    rotation = random_angle(rng) if random_rotation else 0.0
    if random_mirror and rng.random() < MIRROR_PROBABILITY:
        image, label = np.ascontiguousarray(image[:, ::-1]), mirror_table[label[:, ::-1]]
        center = np.array([image.shape[1] - 1 - center[0], center[1]], dtype=np.float32)
    matrix = affine_matrix(box._replace(center=center, scale=scale), input_size, rotation)
    return warp_image(image, matrix, input_size), warp_label(label, matrix, input_size)


def change_colours(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a BGR photograph (H, W, 3) blurred, jittered or gray, one of the three, or as it was."""
    change = rng.integers(3)
    if rng.random() >= COLOUR_PROBABILITY:
        return image
    picture = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    if change == 0:
        picture = picture.filter(ImageFilter.GaussianBlur(BLUR_RADIUS))
    elif change == 1:
        picture = _jitter(picture, rng)
    else:
        picture = picture.convert("L").convert("RGB")
    return cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2BGR).astype(np.uint8, copy=False)


def random_scale_factor(rng: np.random.Generator) -> float:
    """Return what the crop's extent is multiplied by: normal around 1, clipped to 0.75 .. 1.25."""
    return float(np.clip(1 + SCALE_DEVIATION * rng.standard_normal(), *SCALE_RANGE))


def random_angle(rng: np.random.Generator) -> float:
    """Return the crop's rotation in degrees: 0 in four of ten crops, else normal, clipped to -60 .. 60."""
    if rng.random() >= ROTATION_PROBABILITY:
        return 0.0
    return float(np.clip(ROTATION_DEVIATION * rng.standard_normal(), *ROTATION_RANGE))


def _jitter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the picture with brightness, contrast, saturation and hue changed, in random order.

    What torchvision's `adjust_...` do to a PIL image, to the bit. Importing torchvision for it would more than double
    the time that a training takes to start.
    """
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    factors = [rng.uniform(1 - reach, 1 + reach) for reach in (BRIGHTNESS, CONTRAST, SATURATION)]
    shift = rng.uniform(-HUE, HUE)
    for change in rng.permutation(4):
        picture = enhancers[change](picture).enhance(factors[change]) if change < 3 else _shift_hue(picture, shift)
    return picture


def _shift_hue(picture: Image.Image, shift: float) -> Image.Image:
    """Shift the hue by a share of the colour circle, -0.5 to 0.5."""
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point([(level + int(shift * 255)) % 256 for level in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
