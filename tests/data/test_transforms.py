import colorsys
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hparse_jax.data.transforms import colour_jitter, flip, random_scale_crop
from hparse_jax.hierarchy import get_hierarchy, hierarchy_from_json

CIHP = pathlib.Path(__file__).parents[3] / "shared" / "data" / "fixtures" / "cihp"
MEAN = (123.675, 116.28, 103.53)
ROUNDED = (124, 116, 104)


def coded_photo(height, width):
    """Every pixel tells where it is: (16 y, 16 x, 7) in the image, y * width + x in the labels."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([16 * y, 16 * x, np.full_like(x, 7)], -1).astype(np.uint8)
    return image, (y * width + x).astype(np.uint8)


def random_labels(hierarchy, shape=(13, 8)):
    ids = [*range(len(hierarchy.levels[0].nodes)), 255]
    return np.random.default_rng(0).choice(ids, shape).astype(np.uint8)


def test_flip_twice_is_the_identity():
    hierarchy = get_hierarchy("lip")
    labels = random_labels(hierarchy)
    image = np.random.default_rng(1).integers(0, 256, (13, 8, 3)).astype(np.uint8)
    again = flip(*flip(image, labels, hierarchy), hierarchy)
    np.testing.assert_array_equal(again[0], image)
    np.testing.assert_array_equal(again[1], labels)


def flip_labels(labels, hierarchy):
    image = np.zeros((*labels.shape, 3), np.uint8)
    return flip(image, labels, hierarchy)[1]


def test_flip_mirrors_and_swaps_left_and_right():
    hierarchy = get_hierarchy("lip")
    swap = {14: 15, 15: 14, 16: 17, 17: 16, 18: 19, 19: 18}
    labels = random_labels(hierarchy)
    expected = [[swap.get(i, i) for i in reversed(row)] for row in labels.tolist()]
    assert flip_labels(labels, hierarchy).tolist() == expected


@pytest.mark.skipif(
    not CIHP.is_dir(), reason="needs the samples ../shared/data/fixtures/cihp beside the checkout"
)
def test_flipped_labels_are_cihps_own_reversed_ones():
    hierarchy, paths = get_hierarchy("cihp"), sorted((CIHP / "labels").iterdir())
    assert len(paths) == 5
    for path in paths:
        labels = np.array(Image.open(path))
        reversed_ones = np.asarray(Image.open(CIHP / "labels_rev" / path.name))
        np.testing.assert_array_equal(flip_labels(labels, hierarchy), reversed_ones)


def random_hierarchy(classes: int, order: list[int]):
    """Leaves without names of their own, order[0] and order[1] a pair, and so on."""
    names = ["background", *(f"leaf{i}" for i in range(1, classes))]
    pairs = list(zip(order[0::2], order[1::2], strict=False))
    tree = {
        "name": "random",
        "levels": [{"name": "parts", "nodes": dict.fromkeys(names)}],
        "flip_pairs": [[names[a], names[b]] for a, b in pairs],
    }
    return hierarchy_from_json(tree), dict(pairs) | {b: a for a, b in pairs}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    order=st.lists(st.integers(1, 30), unique=True),
)
def test_labels_of_any_hierarchy_are_mirrored_and_swapped(seed, size, order):
    hierarchy, partner = random_hierarchy(31, order)
    labels = np.random.default_rng(seed).choice([*range(31), 255], size).astype(np.uint8)
    expected = [[partner.get(i, i) for i in row[::-1]] for row in labels.tolist()]
    assert flip_labels(labels, hierarchy).tolist() == expected


# One colour for each of LIP's 20 ids, far from each other and from the mean.
CODES = np.array([(25 * (i % 10), 200 * (i // 10), 255 - 25 * (i % 10)) for i in range(20)])


def blocks(rng, size: tuple[int, int]) -> np.ndarray:
    """Labels in blocks of at least 12 pixels a side."""
    rows, columns = (np.arange(side) // int(rng.integers(12, 20)) for side in size)
    return rng.integers(0, 20, (8, 8)).astype(np.uint8)[rows][:, columns]


def flat_around(ids: np.ndarray) -> np.ndarray:
    """Where the labels of the 5 x 5 pixels around are all the same; never at the rim."""
    windows = np.lib.stride_tricks.sliding_window_view(ids, (5, 5))
    inside = windows.min((2, 3)) == windows.max((2, 3))
    return np.pad(inside, 2)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(24, 90), st.integers(24, 90)),
    crop=st.tuples(st.integers(20, 120), st.integers(20, 120)),
    scale=st.floats(0.5, 2.0),
    mirrored=st.booleans(),
)
def test_colours_tell_the_label_under_any_scale_crop_and_flip(seed, size, crop, scale, mirrored):
    rng = np.random.default_rng(seed)
    labels = blocks(rng, size)
    image, codes = CODES[labels].astype(np.uint8), CODES
    out, ids = random_scale_crop(image, labels, rng, crop, (scale, scale), MEAN)
    if mirrored:
        out, ids = flip(out, ids, get_hierarchy("lip"))
        codes = CODES[[*range(14), 15, 14, 17, 16, 19, 18]]
    distance = np.abs(out[..., None, :].astype(int) - codes).max(-1)
    padding = ids == 255
    assert (out[padding] == ROUNDED).all()
    flat = ~padding & flat_around(ids)
    assert flat.any()
    assert (distance.min(-1)[flat] <= 1).all()
    np.testing.assert_array_equal(distance.argmin(-1)[flat], ids[flat])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    crop=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    scale=st.floats(0.5, 2.0),
)
def test_image_and_labels_stay_aligned(seed, size, crop, scale):
    image, labels = coded_photo(*size)
    rng = np.random.default_rng(seed)
    out, ids = random_scale_crop(image, labels, rng, crop, (scale, scale), MEAN)
    assert out.shape == (*crop, 3)
    assert ids.shape == crop
    photo = ids != 255
    np.testing.assert_array_equal(photo, (out != ROUNDED).any(-1))
    # The label is that of the nearest pixel, the colour is mixed from the pixels around.
    y, x = np.divmod(ids[photo].astype(float), size[1])
    assert np.abs(out[photo][:, 0] / 16 - y).max() <= 0.5 + 1.5 / 16
    assert np.abs(out[photo][:, 1] / 16 - x).max() <= 0.5 + 1.5 / 16
    # What the scaled photo has room for shows, all of it where the window is larger.
    scaled = [max(1, round(side * scale)) for side in size]
    rows, columns = photo.any(1).sum(), photo.any(0).sum()
    assert (rows, columns) == (min(scaled[0], crop[0]), min(scaled[1], crop[1]))
    assert photo.sum() == rows * columns


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 18, (height, width)).astype(np.uint8)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8), labels


@pytest.mark.parametrize(("size", "quarters"), [((9, 9), 1), ((9, 12), 2), ((8, 8), 3)])
def test_quarter_turns_are_counter_clockwise_and_exact(size, quarters):
    image, labels = noise(*size)
    rng = np.random.default_rng(0)
    out, ids = random_scale_crop(image, labels, rng, size, (1.0, 1.0), MEAN, angle=90.0 * quarters)
    np.testing.assert_array_equal(ids, np.rot90(labels, quarters))
    np.testing.assert_array_equal(out, np.rot90(image, quarters))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    crop=st.tuples(st.integers(40, 120), st.integers(40, 120)),
    scale=st.floats(0.5, 2.0),
    angle=st.floats(-180, 180).filter(lambda angle: angle != 0),
)
def test_colours_tell_the_label_of_a_turned_photo_and_the_mean_its_padding(
    seed, size, crop, scale, angle
):
    rng = np.random.default_rng(seed)
    labels = blocks(rng, size)
    image = CODES[labels].astype(np.uint8)
    out, ids = random_scale_crop(image, labels, rng, crop, (scale, scale), MEAN, angle=angle)
    flat = flat_around(ids)
    padding = flat & (ids == 255)
    assert (out[padding] == ROUNDED).all()
    distance = np.abs(out[flat & ~padding][:, None].astype(int) - CODES).max(-1)
    np.testing.assert_array_equal(distance.argmin(-1), ids[flat & ~padding])
    assert distance.min(-1).max(initial=0) <= 1


def test_a_turned_photo_is_interpolated_once():
    """30 degrees at scale 2, pixel by pixel: the value is the bilinear one at the place in the
    photo where the pixel's centre comes from."""
    image, labels = noise(16, 11)
    rng = np.random.default_rng(0)
    out, ids = random_scale_crop(image, labels, rng, (32, 22), (2.0, 2.0), MEAN, angle=30.0)
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    seen = 0
    for i, j in np.ndindex(32, 22):
        y, x = (i + 0.5) / 2 - 8, (j + 0.5) / 2 - 5.5  # from the centre, in pixels of the photo
        row, column = sin * x + cos * y + 7.5, cos * x - sin * y + 5.0
        top, left = int(np.floor(row)), int(np.floor(column))
        if not (0 <= top < 15 and 0 <= left < 10):
            continue
        seen += 1
        colour = sum(
            (1 - abs(row - a)) * (1 - abs(column - b)) * image[a, b]
            for a in (top, top + 1)
            for b in (left, left + 1)
        )
        # OpenCV may round positions to 1/32 pixel.
        np.testing.assert_allclose(out[i, j], colour, atol=1 + 2 * 255 / 64)
        if max(abs(row % 1 - 0.5), abs(column % 1 - 0.5)) < 0.45:
            continue
        if abs(row % 1 - 0.5) > 0.05 and abs(column % 1 - 0.5) > 0.05:
            assert ids[i, j] == labels[round(row), round(column)]
    assert seen > 300


class Draws(np.random.Generator):
    """A generator whose uniform numbers are all the upper bound (or the lower one)."""

    def __init__(self, order, upper=True):
        super().__init__(np.random.PCG64(0))
        self._order, self._upper = order, upper

    def uniform(self, low, high):
        return high if self._upper else low

    def permutation(self, count):
        assert sorted(self._order) == list(range(count))
        return self._order


GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def expected_jitter(image, change, amount):
    """torchvision's formulas, one at a time, in float64."""
    pixels = image.astype(np.float64)
    if change == "brightness":
        return np.clip((1 + amount) * pixels, 0, 255)
    if change == "contrast":
        return np.clip((1 + amount) * pixels - amount * (pixels @ GREY).mean(), 0, 255)
    if change == "saturation":
        return np.clip((1 + amount) * pixels - amount * (pixels @ GREY)[..., None], 0, 255)
    turned = np.empty_like(pixels)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[place] / 255))
        turned[place] = colorsys.hsv_to_rgb((hue + amount) % 1, saturation, value)
    return 255 * turned


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation", "hue"])
def test_each_change_of_colour_is_that_of_its_formula(change, sign):
    image, _ = noise(13, 17)
    names = ("brightness", "contrast", "saturation", "hue")
    limits = tuple(0.3 * (name == change) for name in names)
    out = colour_jitter(image, Draws([3, 1, 0, 2], sign > 0), limits)
    expected = expected_jitter(image, change, 0.3 * sign)
    np.testing.assert_allclose(out, expected, atol=0.501)


def test_changes_of_colour_come_in_the_order_drawn():
    image, _ = noise(13, 17)
    limits = (0.5, 0.5, 0.0, 0.0)
    both = ("brightness", "contrast")
    for order, names in (([0, 1, 2, 3], both), ([1, 0, 3, 2], both[::-1])):
        expected = image
        for name in names:
            expected = expected_jitter(expected, name, 0.5)
        out = colour_jitter(image, Draws(order), limits)
        np.testing.assert_allclose(out, expected, atol=0.502)


def test_no_jitter_leaves_every_colour():
    image, _ = noise(50, 60)
    for seed in range(5):
        out = colour_jitter(image, np.random.default_rng(seed), (0.0,) * 4)
        np.testing.assert_array_equal(out, image)


def test_scaling_is_bilinear_between_pixel_centres():
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    labels = rng.integers(0, 18, (9, 12)).astype(np.uint8)
    crop = (15, 20)  # exactly the photo at 5/3: nothing is left to chance
    out, ids = random_scale_crop(image, labels, rng, crop, (5 / 3, 5 / 3), MEAN)
    for i in range(crop[0]):
        for j in range(crop[1]):
            y, x = (i + 0.5) * 9 / 15 - 0.5, (j + 0.5) * 12 / 20 - 0.5
            assert ids[i, j] == labels[round(y), round(x)]
            corners = [(int(np.floor(y)) + a, int(np.floor(x)) + b) for a in (0, 1) for b in (0, 1)]
            colour = sum(
                (1 - abs(y - a)) * (1 - abs(x - b)) * image[np.clip(a, 0, 8), np.clip(b, 0, 11)]
                for a, b in corners
            )
            # OpenCV may round positions to 1/32 pixel.
            np.testing.assert_allclose(out[i, j], colour, atol=1 + 2 * 255 / 64)


def test_a_small_photo_lies_anywhere_in_the_window_unchanged():
    image, labels = coded_photo(5, 6)
    places = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        out, ids = random_scale_crop(image, labels, rng, (7, 9), (1.0, 1.0), MEAN)
        top, left = np.argwhere(ids != 255)[0]
        np.testing.assert_array_equal(ids[top : top + 5, left : left + 6], labels)
        np.testing.assert_array_equal(out[top : top + 5, left : left + 6], image)
        places.add((int(top), int(left)))
    assert places == {(top, left) for top in range(3) for left in range(4)}


def test_the_window_lies_anywhere_in_a_large_photo():
    image, labels = coded_photo(7, 9)
    places = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        out, ids = random_scale_crop(image, labels, rng, (5, 6), (1.0, 1.0), MEAN)
        top, left = divmod(int(ids[0, 0]), 9)
        np.testing.assert_array_equal(ids, labels[top : top + 5, left : left + 6])
        np.testing.assert_array_equal(out, image[top : top + 5, left : left + 6])
        places.add((top, left))
    assert places == {(top, left) for top in range(3) for left in range(4)}


def test_scales_fill_their_range():
    image, labels = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8)
    sides = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        ids = random_scale_crop(image, labels, rng, (220, 220), (0.5, 2.0), MEAN)[1]
        sides.append(np.sqrt((ids == 0).sum()))
    assert 50 <= min(sides) < 55
    assert 195 < max(sides) <= 200
    assert abs(np.mean(sides) - 125) < 8  # uniform: mean 125, standard error 2.5


def test_a_choice_of_scales_gives_each_of_them_equally_often():
    image, labels = np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8)
    sides = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        choices = (0.6, 0.8, 1.0, 1.2, 1.4)
        ids = random_scale_crop(image, labels, rng, (150, 150), (0.5, 2.0), MEAN, choices)[1]
        sides.append(int(np.sqrt((ids == 0).sum())))
    found, counts = np.unique(sides, return_counts=True)
    assert found.tolist() == [60, 80, 100, 120, 140]
    assert abs(counts - 60).max() < 28  # four standard deviations of 300 draws
