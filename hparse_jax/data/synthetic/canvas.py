"""A canvas to draw on: shapes go to the picture and to its label map at once.

Figures are given in body units (x to the right, y down, the person about 1 unit tall); the frame
knows where they fall in pixels. Every shape is shaded towards its rim, so that limbs look round.
"""

import colorsys
import dataclasses

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 20, endpoint=False)) for f in (np.cos, np.sin)], 1)
_FRACTION_BITS = 4  # OpenCV's fixed-point coordinates: 1/16 of a pixel


@dataclasses.dataclass
class Canvas:
    """A picture under the brush.

    image: RGB, 0..255. labels: leaf ids. scale: pixels for one body unit. turn: rotation of the
    figure. origin: the (turned) body point at the frame's upper left corner, in body units.
    """

    image: Float32[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"]
    scale: float
    turn: Float[np.ndarray, "2 2"]
    origin: Float[np.ndarray, "2"]

    def _mask(self, shapes: list, stroke: float = 0.0):
        """The union of the shapes in their bounding box: (slices, 0/1 mask), None off the frame.

        stroke: the shapes are open lines that wide, 0 polygons.
        """
        height, width = self.labels.shape
        pixels = [(shape @ self.turn.T - self.origin) * self.scale for shape in shapes]
        every = np.concatenate(pixels)
        rim = 2 + int(stroke * self.scale)
        low = np.maximum(np.floor(every.min(0)).astype(int) - rim, 0)
        high = np.minimum(np.ceil(every.max(0)).astype(int) + rim, (width, height))
        if (low >= high).any():
            return None
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        for points in pixels:
            fixed = np.round((points - low - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)
            if stroke:
                thickness = max(1, round(stroke * self.scale))
                cv2.polylines(mask, [fixed], False, 1, thickness, cv2.LINE_8, _FRACTION_BITS)
            else:
                cv2.fillPoly(mask, [fixed], 1, cv2.LINE_8, _FRACTION_BITS)
        return (slice(low[1], high[1]), slice(low[0], high[0])), mask

    def paint(self, shapes: list, label: int, fill: np.ndarray, round_off: float = 0.03) -> None:
        """Paint the union of polygons (each [n, 2], body units) over everything so far.

        fill: one colour [3] or a cloth of the frame's size [h, w, 3]. round_off: the distance in
        body units over which the shade goes from the dark rim to the full colour.
        """
        masked = self._mask(shapes)
        if masked is None:
            return
        window, mask = masked
        depth = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, 1), cv2.DIST_L2, 3)
        shade = np.minimum(depth[1:-1, 1:-1] / max(1.5, round_off * self.scale), 1)
        shade = (0.55 + 0.45 * np.sqrt(shade))[..., None]
        inside = mask > 0
        colour = fill if fill.ndim == 1 else fill[window]
        self.image[window][inside] = (colour * shade)[inside]
        self.labels[window][inside] = label

    def mark(self, lines: list, label: int, colour: np.ndarray, stroke: float = 0.008) -> None:
        """Draw open lines (body units, `stroke` wide) on what carries `label`; labels stay."""
        masked = self._mask(lines, stroke)
        if masked is not None:
            window, mask = masked
            self.image[window][(mask > 0) & (self.labels[window] == label)] = colour


def ellipse(centre, x_radius: float, y_radius: float) -> Float[np.ndarray, "n 2"]:
    """An upright ellipse as a polygon."""
    return np.asarray(centre) + _CIRCLE * (x_radius, y_radius)


def arc(centre, x_radius: float, y_radius: float, start: float, stop: float):
    """A piece of an ellipse as an open line [n, 2]; angles in turns, 0 right, 0.25 down."""
    angles = 2 * np.pi * np.linspace(start, stop, 16)
    return np.asarray(centre) + np.stack([np.cos(angles), np.sin(angles)], 1) * (x_radius, y_radius)


def limb(start, stop, start_radius: float, stop_radius: float) -> Float[np.ndarray, "n 2"]:
    """The convex hull of two circles: a rounded, tapering limb."""
    circles = [start + start_radius * _CIRCLE, stop + stop_radius * _CIRCLE]
    return cv2.convexHull(np.concatenate(circles).astype(np.float32))[:, 0].astype(float)


def colour(rng, hue=(0.0, 1.0), saturation=(0.2, 0.95), value=(0.25, 0.95)) -> np.ndarray:
    """A random RGB colour [3] (0..255) within ranges of hue, saturation and value (0..1)."""
    hsv = rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value)
    return 255 * np.asarray(colorsys.hsv_to_rgb(*hsv))


def cloth(
    rng: np.random.Generator,
    size: tuple[int, int],
    base: np.ndarray,
    other: np.ndarray,
    kind: str,
    period: float,
) -> Float32[np.ndarray, "h w 3"]:
    """A texture of two colours that fills a frame of `size` (h, w).

    kind: plain, stripes (slanted at random), bars (level), pleats (upright), checks, dots, blobs.
    period: the pattern's repeat in pixels.
    """
    height, width = size
    period = np.float32(max(period, 3))
    y = np.arange(height, dtype=np.float32)[:, None] / period
    x = np.arange(width, dtype=np.float32)[None] / period
    y, x = y + np.float32(rng.uniform()), x + np.float32(rng.uniform())
    if kind == "stripes":
        angle = rng.uniform(0, np.pi)
        weight = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) % 1 < 0.45
    elif kind == "bars":
        weight = (y % 1 < 0.4) & (x > -1)
    elif kind == "pleats":
        weight = (x % 1) * np.float32(0.7) + 0 * y
    elif kind == "checks":
        weight = np.float32(0.5) * (y % 1 < 0.5) + np.float32(0.5) * (x % 1 < 0.5)
    elif kind == "dots":
        weight = (y % 1 - 0.5) ** 2 + (x % 1 - 0.5) ** 2 < 0.07
    elif kind == "blobs":
        grid = 2 + int(height / period), 2 + int(width / period)
        weight = cv2.resize(rng.random(grid, np.float32), (width, height), None, 0, 0, 2)
    else:
        weight = np.zeros((height, width), np.float32)
    return base.astype(np.float32) + weight[..., None] * (other - base).astype(np.float32)


def backdrop(rng: np.random.Generator, size: tuple[int, int]) -> Float32[np.ndarray, "h w 3"]:
    """A textured wall, often with a floor of another texture, under a gradient of light."""
    height = size[0]

    def surface():
        base = colour(rng, saturation=(0.0, 0.4), value=(0.3, 0.95))
        other = base + (colour(rng) - base) * rng.uniform(0.1, 0.45)
        kind = rng.choice(["plain", "stripes", "bars", "checks", "dots", "blobs", "blobs"])
        return cloth(rng, size, base, other, kind, height * rng.uniform(0.05, 0.3))

    image = surface()
    if rng.random() < 0.6:
        floor = int(height * rng.uniform(0.6, 0.95))
        image[floor:] = surface()[floor:] * np.float32(rng.uniform(0.6, 1))
    return image * _slope(rng, size, 0.3)


def photograph(
    rng: np.random.Generator, image: Float32[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """What a camera makes of the scene: light from one side, a colour cast, blur and noise."""
    light = rng.uniform(0.75, 1.15) * rng.uniform(0.92, 1.08, 3)
    image = image * light.astype(np.float32) * _slope(rng, image.shape[:2], 0.2)
    image = cv2.GaussianBlur(image, (5, 5), rng.uniform(0.45, 0.9))
    noise = np.float32(rng.uniform(1, 7)) * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _slope(rng, size, depth: float) -> Float32[np.ndarray, "h w 1"]:
    """Light that changes evenly across the frame by up to +-depth."""
    height, width = size
    down, right = rng.uniform(-depth, depth, 2).astype(np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
    return 1 + (down * y + right * x) * np.float32(0.7)
