"""Random colour, scale, rotation, crop and flip of a photo and its labels: uint8 in, uint8 out.

Every function is pure; randomness comes in as a NumPy generator.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from hparse_jax.hierarchy import IGNORE, Hierarchy


def flip(
    image: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"], hierarchy: Hierarchy
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Both under horizontal flip; among the leaves left and right are swapped, 255 stays 255."""
    swap = np.arange(256, dtype=np.uint8)
    permutation = hierarchy.flip_permutation(0)
    swap[: len(permutation)] = permutation
    return cv2.flip(image, 1), cv2.LUT(cv2.flip(labels, 1), swap)


def colour_jitter(
    image: UInt8[np.ndarray, "h w 3"],
    rng: np.random.Generator,
    limits: tuple[float, float, float, float],
) -> UInt8[np.ndarray, "h w 3"]:
    """The photo (RGB) with random brightness, contrast, saturation and hue, in random order.

    limits: of each the largest change. The first three mix the photo with black, with the mean of
    its grey and with its own grey, at a factor uniform in 1 - limit to 1 + limit (from 0 up); hue
    turns by a number uniform in -limit to limit turns of the colour circle. These are the formulas
    and the order of torchvision's ColorJitter.
    """
    factors = [rng.uniform(max(0.0, 1.0 - limit), 1.0 + limit) for limit in limits[:3]]
    turn = 360.0 * rng.uniform(-limits[3], limits[3])

    def grey(pixels):
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)

    def mixed(pixels, other, factor):
        return np.clip(factor * pixels + (1.0 - factor) * other, 0.0, 255.0).astype(np.float32)

    def turned(pixels):
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)  # hue in degrees
        hsv[..., 0] = (hsv[..., 0] + turn) % 360.0
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    changes = (
        lambda pixels: mixed(pixels, 0.0, factors[0]),
        lambda pixels: mixed(pixels, grey(pixels).mean(), factors[1]),
        lambda pixels: mixed(pixels, grey(pixels)[..., None], factors[2]),
        turned,
    )
    pixels = image.astype(np.float32)
    for change in rng.permutation(4):
        pixels = changes[change](pixels)
    return np.rint(pixels).astype(np.uint8)


def random_scale_crop(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    rng: np.random.Generator,
    crop: tuple[int, int],
    scale: tuple[float, float],
    mean: tuple[float, float, float],
    choices: tuple[float, ...] = (),
    angle: float = 0.0,
) -> tuple[UInt8[np.ndarray, "ch cw 3"], UInt8[np.ndarray, "ch cw"]]:
    """A random window of the photo at a random scale (CNIF section 4.1).

    crop: (height, width) of the window in pixels. scale: the sides of the photo are multiplied by
    a number uniform in (smallest, largest). Along a side where the scaled photo is longer than the
    window, the window lies anywhere in it; where it is shorter, it lies anywhere in the window and
    the rest is padding: `mean` (RGB 0-255, rounded) in the image, 255 in the labels.
    choices: scales, equally likely, instead of that range. angle: the photo turns so many degrees
    counter-clockwise about its centre, within its frame: corners that come in are padding, too.
    """
    height, width = labels.shape
    factor = rng.choice(choices) if choices else rng.uniform(*scale)
    before_y, after_y, shown_h, step_y, start_y = _place(rng, height, crop[0], factor)
    before_x, after_x, shown_w, step_x, start_x = _place(rng, width, crop[1], factor)
    # Only what the window shows is rendered, straight from the photo: resizing the whole photo
    # first costs several times as much.
    window_to_photo = np.array([[step_x, 0, start_x], [0, step_y, start_y]])
    border = cv2.BORDER_REPLICATE  # half a pixel of it shows at the rim of an upright photo
    if angle:
        centre = (width - 1) / 2, (height - 1) / 2
        upright = cv2.getRotationMatrix2D(
            centre, -angle, 1.0
        )  # places in the turned photo -> photo
        window_to_photo = upright @ np.vstack([window_to_photo, (0, 0, 1)])
        border = cv2.BORDER_CONSTANT

    def render(pixels, interpolation, fill):
        shown = cv2.warpAffine(
            pixels,
            window_to_photo,
            (shown_w, shown_h),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=border,
            borderValue=fill,
        )
        return cv2.copyMakeBorder(
            shown, before_y, after_y, before_x, after_x, cv2.BORDER_CONSTANT, value=fill
        )

    colour = [round(value) for value in mean]
    return render(image, cv2.INTER_LINEAR, colour), render(labels, cv2.INTER_NEAREST, IGNORE)


def _place(
    rng: np.random.Generator, side: int, crop: int, factor: float
) -> tuple[int, int, int, float, float]:
    """Where the window lies along one side, in pixels.

    Returns the padding before and after, how much of the scaled photo shows, and the map from the
    i-th pixel that shows to its place in the photo, `step * i + start`.
    """
    scaled = max(1, round(side * factor))
    room = scaled - crop
    offset = int(rng.integers(min(0, room), max(0, room), endpoint=True))
    first, last = max(0, offset), min(scaled, offset + crop)
    # Pixel centres lie at half integers of both grids.
    step = side / scaled
    start = (first + 0.5) * step - 0.5
    return first - offset, offset + crop - last, last - first, step, start
