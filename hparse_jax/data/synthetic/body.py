"""A small skeleton with random proportions and joint angles, and the outlines that follow from it.

Body units: x to the image's right from the middle of the trunk, y down from the top of the head,
the standing person about 1 unit tall.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from hparse_jax.data.synthetic.canvas import arc, limb

_SKIN = np.array(
    [(255, 219, 190), (241, 194, 160), (224, 172, 125), (190, 130, 90), (141, 85, 56), (96, 60, 44)]
)
_HAIR = np.array(
    [(30, 24, 22), (70, 44, 28), (120, 72, 36), (226, 190, 110), (176, 70, 30), (170, 170, 172)]
)


@dataclasses.dataclass(frozen=True)
class Limb:
    """An arm or a leg: root, middle joint and end with their radii, in body units.

    toe: where the hand or the foot ends. who: the person's own side, "left" or "right".
    """

    points: Float[np.ndarray, "3 2"]
    radii: Float[np.ndarray, "3"]
    toe: Float[np.ndarray, "2"]
    who: str

    def at(self, t: float) -> tuple[Float[np.ndarray, "2"], float]:
        """Centre and radius at t: 0 the root, 1 the middle joint, 2 the end."""
        i = min(int(t), 1)
        mixed = (1 + i - t) * self.points[i] + (t - i) * self.points[i + 1]
        return mixed, float((1 + i - t) * self.radii[i] + (t - i) * self.radii[i + 1])

    def span(self, start: float, stop: float, wide: float = 1.0, flare: float = 1.0) -> list:
        """Polygons over the stretch start..stop; radii times `wide`, the last also `flare`."""
        knots = [start, 1.0, stop] if start < 1 < stop else [start, stop]
        points, radii = zip(*(self.at(t) for t in knots), strict=True)
        radii = wide * np.asarray(radii)
        radii[-1] *= flare
        return [
            limb(points[i], points[i + 1], radii[i], radii[i + 1]) for i in range(len(knots) - 1)
        ]

    def end(self, wide: float = 1.0) -> list:
        """Polygon of the hand or the foot."""
        radius = wide * (0.034 if self.radii[2] < 0.03 else 0.036)
        return [limb(self.points[2], self.toe, 0.9 * radius, radius)]


@dataclasses.dataclass(frozen=True)
class Body:
    """Who stands there and how: the view, the joints and half the widths of the trunk.

    tilt: the rotation of the head about the neck. skin, hair: RGB, 0..255.
    """

    front: bool
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]
    head: Float[np.ndarray, "2"]
    head_radii: tuple[float, float]
    tilt: Float[np.ndarray, "2 2"]
    gaze: float
    shoulder: float
    waist: float
    hip: float
    skin: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]

    def trunk(self, top: float, bottom: float, loose: float = 1.0) -> list:
        """The trunk's outline between two heights as a polygon, `loose` times as wide."""
        y = np.linspace(top, bottom, 14)
        widths = [0.05, 0.85 * self.shoulder, self.shoulder, self.waist, self.hip, self.hip]
        x = loose * np.interp(y, [0.22, 0.243, 0.28, 0.42, 0.52, 0.6], widths)
        return [np.concatenate([np.stack([x, y], 1), np.stack([-x, y], 1)[::-1]])]

    def drape(self, top: float, hem: float, flare: float) -> list:
        """A skirt's polygon from the height `top` to the legs' stretch `hem` (0 hip .. 2 ankle)."""
        ends = [leg.at(hem) for leg in self.legs]
        y = max(point[1] for point, _ in ends)
        right = max(point[0] + radius for point, radius in ends) + flare
        left = min(point[0] - radius for point, radius in ends) - flare
        waist = 1.02 * np.interp(top, [0.42, 0.52], [self.waist, self.hip])
        hem_line = arc(((left + right) / 2, y - 0.01), (right - left) / 2, 0.02, 0.0, 0.5)
        start = [(-1.05 * self.hip, 0.52), (-waist, top), (waist, top), (1.05 * self.hip, 0.52)]
        return [np.concatenate([np.array(start), hem_line])]

    def in_head(self, shape: np.ndarray | list) -> Float[np.ndarray, "n 2"]:
        """A shape given in the head's own units (the face is the unit circle) -> body units."""
        return np.asarray(shape, float) * self.head_radii @ self.tilt.T + self.head


def rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    """Rotation by `angle` radians, clockwise on the screen."""
    return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])


def pose(rng: np.random.Generator) -> Body:
    """A random person in a random stance, seen from the front (0.6) or from the back."""
    front = bool(rng.random() < 0.6)
    girth, size = rng.uniform(0.85, 1.25), rng.uniform(0.9, 1.2)
    shoulder = 0.115 * rng.uniform(0.9, 1.15) * (0.5 + 0.5 * girth)
    waist, hip = 0.088 * girth * rng.uniform(0.9, 1.1), 0.1 * girth * rng.uniform(0.9, 1.15)
    sides = ((-1, "right"), (1, "left")) if front else ((-1, "left"), (1, "right"))
    return Body(
        front=front,
        arms=tuple(_arm(rng, side, who, shoulder, girth) for side, who in sides),
        legs=tuple(_leg(rng, side, who, hip, girth) for side, who in sides),
        head=np.array([rng.uniform(-0.01, 0.01), 0.2 - 0.095 * size]),
        head_radii=(0.072 * size, 0.092 * size),
        tilt=rotation(rng.uniform(-0.2, 0.2)),
        gaze=rng.uniform(-0.3, 0.3),
        shoulder=shoulder,
        waist=waist,
        hip=hip,
        skin=_SKIN[rng.integers(len(_SKIN))] * rng.uniform(0.9, 1.0),
        hair=_HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.8, 1.1),
    )


def _limb(root: tuple[float, float], lengths, angles, radii, side: int, who: str) -> Limb:
    """A limb of three stretches from the root on.

    angles: from straight down, outwards positive. side: +1 on the image's right, -1 on its left.
    """
    steps = np.stack([side * np.sin(angles), np.cos(angles)], 1) * lengths[:, None]
    joints = np.concatenate([[root], root + np.cumsum(steps, 0)])
    return Limb(joints[:3], radii, joints[3], who)


def _arm(rng, side: int, who: str, shoulder: float, girth: float) -> Limb:
    lift = rng.choice(3, p=[0.6, 0.25, 0.15])
    upper = rng.uniform((0.1, 0.7, 1.6)[lift], (0.7, 1.6, 2.6)[lift])
    lower = upper + rng.uniform(-1.5, 0.5) if lift == 0 else upper + rng.uniform(-0.9, 1.3)
    lengths = np.array([0.15, 0.135, 0.03]) * rng.uniform(0.9, 1.1)
    angles = np.array([upper, lower, lower])
    radii = np.array([0.04, 0.034, 0.027]) * (0.4 + 0.6 * girth)
    return _limb((side * 0.85 * shoulder, 0.27), lengths, angles, radii, side, who)


def _leg(rng, side: int, who: str, hip: float, girth: float) -> Limb:
    kick = rng.random() < 0.15
    thigh = rng.uniform(0.4, 0.9) if kick else rng.uniform(-0.02, 0.35)
    shin = thigh - rng.uniform(0.0, 1.0 if kick else 0.4)
    lengths = np.array([0.21, 0.19, 0.04]) * rng.uniform(0.88, 1.05)
    angles = np.array([thigh, shin, shin + rng.uniform(0.3, 0.9)])
    radii = np.array([0.056, 0.042, 0.031]) * (0.3 + 0.7 * girth)
    return _limb((side * 0.52 * hip, 0.54), lengths, angles, radii, side, who)
