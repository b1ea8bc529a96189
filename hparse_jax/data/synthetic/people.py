"""Synthetic people with exact labels in LIP's 20 classes: training data without a download.

One person an image, from the front or from the back, in clothes that cover all classes, before a
textured backdrop, sometimes behind an object, sometimes cropped by the frame. Left and right are
the person's own: seen from the front the left side is on the image's right, seen from the back on
its left, so the side of the image alone does not decide. As in LIP, arms and legs are the visible
skin; a sleeve belongs to its garment and the neck to the face.
"""

import json
import pathlib

import numpy as np
from jaxtyping import UInt8

from hparse_jax.data.synthetic.body import Body, Limb, pose, rotation
from hparse_jax.data.synthetic.canvas import (
    Canvas,
    arc,
    backdrop,
    cloth,
    colour,
    ellipse,
    limb,
    photograph,
)
from hparse_jax.hierarchy import get_hierarchy

_ID = {name: i for i, name in enumerate(get_hierarchy("synthetic").levels[0].nodes)}
# garment -> the patterns of its cloth, the repeated ones likelier, and the ranges of its colour
_FABRICS = json.loads(pathlib.Path(__file__).with_name("fabrics.json").read_text())
_INK = np.array((25.0, 22.0, 25.0))
_WHITE = np.array((240.0, 240.0, 235.0))


def draw(seed: int, index: int) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """One person: RGB image and the leaf ids of hierarchy `synthetic`, both of the same size.

    A pure function of (seed, index), both >= 0. 130 to 192 pixels high, 66 to 192 wide.
    """
    rng = np.random.default_rng((seed, index))
    body = pose(rng)
    painter = _Painter(rng, body, _frame(rng, body))
    painter.person()
    if rng.random() < 0.3:
        painter.obstacle()
    return photograph(rng, painter.canvas.image), painter.canvas.labels


def _frame(rng: np.random.Generator, body: Body) -> Canvas:
    """The empty frame: around the whole person, or cropping one end or side of them."""
    turn = rotation(rng.uniform(-0.15, 0.15))
    reach = [(*chain.points, chain.toe) for chain in (*body.arms, *body.legs)]
    extent = np.concatenate([*reach, ellipse(body.head, 0.06, 0.09)]) @ turn.T
    margin = rng.uniform(0.03, 0.12)
    low, high = extent.min(0) - margin, extent.max(0) + margin
    cut = rng.choice(["none", "bottom", "top", "side"], p=[0.7, 0.16, 0.06, 0.08])
    if cut == "bottom":
        high[1] -= rng.uniform(0.1, 0.5) * (high[1] - low[1])
    elif cut == "top":
        low[1] += rng.uniform(0.1, 0.4) * (high[1] - low[1])
    elif cut == "side":
        shift = rng.choice([-1, 1]) * rng.uniform(0.15, 0.35) * (high[0] - low[0])
        low[0], high[0] = low[0] + shift, high[0] + shift
    span = high - low
    aspect = float(np.clip(span[0] / span[1], 0.42, 1.1) * rng.uniform(1.0, 1.15))
    # three bucket sizes hold all of them (data/buckets.py): few programs to compile
    height = round(rng.uniform(130, 192))
    width = int(np.clip(round(height * aspect), 66, 192))
    scale = min(height / span[1], width / span[0])
    origin = (low + high) / 2 - np.array((width, height)) / 2 / scale
    image = backdrop(rng, (height, width))
    return Canvas(image, np.zeros((height, width), np.uint8), scale, turn, origin)


class _Painter:
    """Paints one person into a canvas, from the farthest layer to the nearest."""

    def __init__(self, rng: np.random.Generator, body: Body, canvas: Canvas):
        self.rng, self.body, self.canvas = rng, body, canvas

    def person(self) -> None:
        rng, body = self.rng, self.body
        outfit = rng.choice(["pants", "skirt", "dress", "jumpsuits"], p=[0.4, 0.25, 0.23, 0.12])
        top = "upper-clothes" if outfit in ("pants", "skirt") else outfit
        fabric = self.fabric(top)
        coat = self.fabric("coat") if rng.random() < 0.3 else None
        sleeve = ("coat", coat) if coat is not None else (top, fabric)
        reach = rng.uniform(1.2, 2.0) if coat is not None else rng.choice([0.0, 0.3, 0.6, 0.9, 1.6])
        glove = self.vivid() if rng.random() < 0.35 else None
        long_hair = rng.random() < 0.5
        hidden = rng.random(2) < (0.12 if body.front else 0.45)

        if long_hair and body.front:
            self.long_hair()
        for i in np.flatnonzero(hidden):
            self.arm(body.arms[i], sleeve, reach, glove)
        self.legs()
        if outfit == "pants":
            self.upper(fabric)
            self.pants()
        elif outfit == "skirt":
            self.upper(fabric)
            self.skirt()
        elif outfit == "dress":
            self.dress(fabric)
        else:
            self.jumpsuit(fabric)
        self.neck()
        if coat is not None:
            self.coat(coat)
        for i in np.flatnonzero(~hidden):
            self.arm(body.arms[i], sleeve, reach, glove)
        if rng.random() < 0.42:
            self.scarf()
        if long_hair and not body.front:
            self.long_hair()
        self.head(long_hair)

    # ---- colours and cloth

    def paint(self, shapes: list, name: str, fill: np.ndarray, round_off: float = 0.03) -> None:
        self.canvas.paint(shapes, _ID[name], fill, round_off)

    def mark(self, lines: list, name: str, fill: np.ndarray, stroke: float = 0.008) -> None:
        self.canvas.mark([np.asarray(line, float) for line in lines], _ID[name], fill, stroke)

    def vivid(self) -> np.ndarray:
        return colour(self.rng, saturation=(0.75, 1.0), value=(0.6, 1.0))

    def fabric(self, garment: str) -> np.ndarray:
        """A cloth in any colour, with the garment's own leaning to certain patterns."""
        rng, fabric = self.rng, _FABRICS[garment]
        base = colour(rng, **fabric.get("colours", {}))
        if garment == "pants" and rng.random() < 0.7:
            base = colour(rng, hue=(0.57, 0.66), saturation=(0.4, 0.75), value=(0.3, 0.65))
        other = base * 0.6 if garment in ("skirt", "hat", "coat") else colour(rng)
        period = self.canvas.scale * rng.uniform(0.035, 0.07)
        pattern = rng.choice(fabric["patterns"])
        return cloth(rng, self.canvas.labels.shape, base, other, pattern, period)

    # ---- limbs

    def arm(self, arm: Limb, sleeve: tuple, reach: float, glove: np.ndarray | None) -> None:
        skin = f"{arm.who}-arm"
        self.paint([*arm.span(0.0, 2.0), *arm.end()], skin, self.body.skin)
        garment, fabric = sleeve
        if reach > 0:
            self.paint(arm.span(0.0, reach, 1.3, 1.1), garment, fabric)
        if glove is not None:
            cuff = 1.6 if reach < 1.8 else 1.75
            self.paint([*arm.span(cuff, 2.0, 1.35), *arm.end(1.25)], "glove", glove)
            self.mark(arm.span(cuff, cuff + 0.1, 1.35), "glove", 0.5 * glove)

    def legs(self) -> None:
        rng, body = self.rng, self.body
        socks = self.fabric("socks") if rng.random() < 0.45 else None
        top = rng.uniform(1.2, 1.65)
        shoe = colour(rng, saturation=(0.0, 1.0), value=(0.1, 0.9))
        boot = 1.55 if socks is None and rng.random() < 0.3 else 1.9
        barefoot = rng.random() < 0.06
        for leg in body.legs[:: rng.choice([-1, 1])]:
            self.paint([*leg.span(0.0, 2.0), *leg.end(0.85)], f"{leg.who}-leg", body.skin)
            knee = leg.points[1]
            kneecap = arc(knee, 0.02, 0.012, 0.0, 0.5)
            fold = knee + np.array([(-0.02, 0), (0.02, 0)])
            self.mark([kneecap if body.front else fold], f"{leg.who}-leg", 0.7 * body.skin)
            if socks is not None:
                self.paint([*leg.span(top, 2.0, 1.15), *leg.end(0.9)], "socks", socks)
            if barefoot:
                continue
            name = f"{leg.who}-shoe"
            self.paint([*leg.span(boot, 2.0, 1.2), *leg.end(1.1)], name, shoe)
            ankle, toe = leg.points[2], leg.toe
            along = toe - ankle
            normal = np.array((-along[1], along[0])) * 0.6
            light = _WHITE if shoe.mean() < 150 else 0.4 * shoe
            if body.front:  # laces and toe cap; from the back a heel stripe
                middles = [ankle + f * along for f in (0.1, 0.5)]
                laces = [(middle - normal, middle + normal) for middle in middles]
                self.mark(laces, name, light)
                self.paint([ellipse(toe + 0.2 * along, 0.02, 0.02)], name, 0.7 * light)
            else:
                self.mark([(leg.at(boot)[0], toe)], name, light, 0.016)

    # ---- clothes

    def upper(self, fabric: np.ndarray) -> None:
        trunk = self.body.trunk(0.225, self.rng.uniform(0.5, 0.58), 1.04)
        self.paint(trunk, "upper-clothes", fabric, 0.05)
        if self.body.front and self.rng.random() < 0.5:
            self.mark([[(0, 0.25), (0, 0.58)]], "upper-clothes", _INK)

    def pants(self) -> None:
        rng, body = self.rng, self.body
        fabric = self.fabric("pants")
        length, wide = rng.choice([0.6, 0.8, 1.55, 1.75, 1.85]), rng.uniform(1.1, 1.3)
        self.paint(self.trousers(rng.uniform(0.46, 0.5), length, wide), "pants", fabric)
        self.trouser_seams("pants", length)
        self.mark([[(-body.hip, 0.51), (body.hip, 0.51)]], "pants", 0.5 * colour(rng), 0.02)

    def trousers(self, top: float, length: float, wide: float) -> list:
        flare = self.rng.choice([1.0, 1.0, 1.5])
        legs = [shape for leg in self.body.legs for shape in leg.span(0.0, length, wide, flare)]
        return [*self.body.trunk(top, 0.58, 1.05), *legs]

    def trouser_seams(self, name: str, length: float) -> None:
        for leg in self.body.legs:
            seam = leg.points[:2] if length > 1 else leg.span(0.0, length)[0][:2]
            self.mark([seam], name, _INK, 0.006)
        if self.body.front:
            self.mark([[(0, 0.5), (0, 0.58)]], name, _INK)
        else:  # back pockets
            x = 0.5 * self.body.hip
            pockets = [ellipse((s * x, 0.56), 0.025, 0.022) for s in (-1, 1)]
            self.mark(pockets, name, _INK)

    def skirt(self) -> None:
        rng = self.rng
        top, hem, flare = rng.uniform(0.44, 0.49), rng.uniform(0.4, 1.1), rng.uniform(0, 0.07)
        self.paint(self.body.drape(top, hem, flare), "skirt", self.fabric("skirt"), 0.05)
        self.mark([[(-0.2, 0.49), (0.2, 0.49)]], "skirt", _INK, 0.012)

    def dress(self, fabric: np.ndarray) -> None:
        rng = self.rng
        skirt = self.body.drape(0.42, rng.uniform(0.4, 1.1), rng.uniform(0.01, 0.09))
        self.paint([*self.body.trunk(0.232, 0.5, 1.02), *skirt], "dress", fabric, 0.05)
        self.mark([[(-0.2, 0.42), (0.2, 0.42)]], "dress", self.vivid(), 0.022)

    def jumpsuit(self, fabric: np.ndarray) -> None:
        rng, body = self.rng, self.body
        length = rng.choice([0.6, 1.5, 1.75, 1.85])
        trousers = self.trousers(0.42, length, rng.uniform(1.15, 1.35))
        shapes = [*body.trunk(0.225, 0.5, 1.04), *trousers]
        self.paint(shapes, "jumpsuits", fabric, 0.05)
        self.trouser_seams("jumpsuits", length)
        self.mark([[(-0.2, 0.44), (0.2, 0.44)]], "jumpsuits", _INK, 0.02)
        if body.front:
            self.mark([[(0, 0.24), (0, 0.58)]], "jumpsuits", _WHITE, 0.014)
            pockets = [[(s * 0.03, 0.33), (s * 0.085, 0.33), (s * 0.085, 0.37)] for s in (-1, 1)]
            self.mark(pockets, "jumpsuits", _INK)

    def coat(self, fabric: np.ndarray) -> None:
        """From the front it hangs open over the other clothes; the back is closed."""
        rng, body = self.rng, self.body
        hem, flare = rng.uniform(0.15, 1.1), rng.uniform(0.0, 0.05)
        trunk, skirt = body.trunk(0.222, 0.52, 1.12), body.drape(0.44, hem, flare)
        bottom = skirt[0][4:, 1].max()
        if not body.front:
            self.paint([*trunk, *skirt], "coat", fabric, 0.05)
            self.mark([[(0, 0.45), (0, bottom)]], "coat", _INK)
            self.mark([[(-0.06, 0.46), (0.06, 0.46)]], "coat", _INK, 0.02)
            return
        gap, spread = rng.uniform(0.025, 0.05), rng.uniform(0.0, 0.04)
        left, right = skirt[0][4:, 0].min(), skirt[0][4:, 0].max()
        for s, edge in ((-1, left), (1, right)):
            inner = s * (gap + spread)
            side = trunk[0][:14] * (s, 1)
            panel = [*side[:-1], (s * 1.1 * body.hip, 0.52), (edge, bottom), (inner, bottom)]
            panel += [(s * gap, 0.42), (s * gap, 0.3)]
            self.paint([np.array(panel)], "coat", fabric, 0.05)
            lapel = [(s * 0.045, 0.24), (s * (gap + 0.04), 0.31), (s * gap, 0.38)]
            self.mark([lapel], "coat", _INK, 0.01)

    def neck(self) -> None:
        """The bare neck counts as face; only from the front there is a neckline."""
        body = self.body
        shapes = [limb(body.head, np.array((0.0, 0.225)), 0.036, 0.042)]
        if body.front:
            depth = self.rng.uniform(0.24, 0.29)
            shapes.append(np.array([(-0.045, 0.225), (0.045, 0.225), (0, depth)]))
        self.paint(shapes, "face", 0.88 * body.skin)

    def scarf(self) -> None:
        rng = self.rng
        shapes = [ellipse((0, 0.222), 0.078, 0.036)]
        if self.body.front or rng.random() < 0.4:
            x = rng.uniform(-0.04, 0.04)
            end = np.array((x + rng.uniform(-0.03, 0.03), rng.uniform(0.34, 0.47)))
            shapes.append(limb(np.array((x, 0.23)), end, 0.024, 0.03))
        self.paint(shapes, "scarf", self.fabric("scarf"))
        self.mark([arc((0, 0.205), 0.07, 0.03, 0.05, 0.45)], "scarf", _INK)

    # ---- the head

    def long_hair(self) -> None:
        length = self.rng.uniform(1.2, 2.1)
        ends = np.array((0.55, -0.2)), np.array((0.7, length))
        sides = [limb(*(end * (s, 1) for end in ends), 0.6, 0.5) for s in (-1, 1)]
        middle = [] if self.body.front else [ellipse((0, 0.7), 0.9, length - 0.4)]
        self.paint([self.body.in_head(s) for s in (*sides, *middle)], "hair", self.body.hair)

    def head(self, long_hair: bool) -> None:
        rng, body = self.rng, self.body
        bald = not long_hair and rng.random() < 0.15
        hat = rng.random() < 0.45
        ears = [body.in_head(ellipse((s * 1.0, 0.1), 0.17, 0.22)) for s in (-1, 1)]
        self.paint([*ears, body.in_head(ellipse((0, 0), 1.0, 1.0))], "face", body.skin)
        if body.front:
            self.features()
            if not bald:
                self.fringe(long_hair)
            if rng.random() < 0.6:
                self.sunglasses()
        elif not bald:
            self.paint([body.in_head(ellipse((0, -0.12), 1.08, 1.0))], "hair", body.hair, 0.06)
            if rng.random() < 0.4:
                bun = ellipse((0, rng.uniform(-0.6, 0.1)), 0.4, 0.4)
                self.paint([body.in_head(bun)], "hair", 0.85 * body.hair)
        if hat:
            self.hat()

    def features(self) -> None:
        body, x = self.body, self.body.gaze
        for radii, fill in (((0.17, 0.1), _WHITE), ((0.07, 0.09), _INK)):
            eyes = [body.in_head(ellipse((x + s * 0.4, -0.05), *radii)) for s in (-1, 1)]
            self.paint(eyes, "face", fill, 0.001)
        brows = [body.in_head(arc((x + s * 0.4, -0.15), 0.25, 0.15, 0.6, 0.9)) for s in (-1, 1)]
        self.mark(brows, "face", 0.8 * body.hair, 0.01)
        self.mark([body.in_head([(x, 0.0), (1.2 * x, 0.3), (x, 0.33)])], "face", 0.65 * body.skin)
        mouth = body.in_head(arc((x, 0.5), 0.32, 0.15, 0.05, 0.45))
        self.mark([mouth], "face", np.array((165.0, 50, 60)), 0.014)

    def fringe(self, long_hair: bool) -> None:
        """Hair over the forehead and down to the ears, or to the chin."""
        body, part = self.body, self.rng.uniform(-0.5, 0.5)
        down = 0.06 if long_hair else 0.0
        crown = arc((0, -0.1), 1.12, 1.08, 0.5 - down, 1.0 + down)
        line = [(0.88, 0.0), (0.75, -0.35), (part, -0.62), (-0.75, -0.35), (-0.88, 0.0)]
        self.paint([body.in_head(np.concatenate([crown, line]))], "hair", body.hair)

    def sunglasses(self) -> None:
        body, x = self.body, 0.6 * self.body.gaze
        rim = self.vivid() if self.rng.random() < 0.5 else _INK
        glass = colour(self.rng, saturation=(0.1, 0.8), value=(0.08, 0.25))
        middles = [x + s * 0.45 for s in (-1, 1)]
        lenses = [body.in_head(ellipse((m, -0.02), 0.42, 0.3)) for m in middles]
        bridge = body.in_head([(-0.95, -0.2), (0.95, -0.2), (0.95, -0.05), (-0.95, -0.05)])
        self.paint([*lenses, bridge], "sunglasses", rim, 0.001)
        inner = [body.in_head(ellipse((m, -0.02), 0.34, 0.22)) for m in middles]
        self.paint(inner, "sunglasses", glass, 0.001)
        shine = [body.in_head([(m - 0.1, 0.05), (m + 0.1, -0.12)]) for m in middles]
        self.mark(shine, "sunglasses", _WHITE)

    def hat(self) -> None:
        rng, body = self.rng, self.body
        fabric = self.fabric("hat")
        kind, low = rng.choice(["cap", "brim", "beanie"]), rng.uniform(-0.5, -0.3)
        tall = rng.uniform(0.8, 1.2)
        dome = [body.in_head(arc((0, low), 1.16, tall, 0.5, 1.0))]
        if kind == "brim":
            dome.append(body.in_head(ellipse((0, low), 1.8, 0.24)))
        elif kind == "beanie":
            dome.append(body.in_head(ellipse((0, low - tall), 0.3, 0.25)))
        elif body.front:
            dome.append(body.in_head(ellipse((body.gaze, low + 0.05), 1.0, 0.22)))
        self.paint(dome, "hat", fabric)
        band = body.in_head([(-1.2, low - 0.12), (1.2, low - 0.12)])
        self.mark([band], "hat", self.vivid(), 0.022)

    # ---- in front of the person

    def obstacle(self) -> None:
        """A textured box, post or ball that hides a part of the person; it is background."""
        rng = self.rng
        fabric = backdrop(rng, self.canvas.labels.shape)
        x, y = rng.uniform(-0.2, 0.2), rng.uniform(0.3, 1.0)
        kind = rng.choice(["box", "post", "ball"])
        if kind == "box":
            w, h = rng.uniform(0.06, 0.16, 2)
            shape = np.array([(x - w, y - h), (x + w, y - h), (x + w, y + h), (x - w, y + h)])
        elif kind == "post":
            w = rng.uniform(0.02, 0.045)
            shape = np.array([(x - w, -2), (x + w, -2), (x + w, 3), (x - w, 3)])
        else:
            shape = ellipse((x, y), *rng.uniform(0.06, 0.14, 2))
        self.canvas.paint([shape], 0, fabric)
