"""Polygons drawn again are the regions that they come from."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from hparse_jax.inference.polygons import labelme, polygons


def filled(outlines, size):
    """The mask that LabelMe draws: every polygon filled, its edges included."""
    image = Image.new("1", size[::-1])
    for outline in outlines:
        ImageDraw.Draw(image).polygon([tuple(p) for p in np.array(outline).tolist()], 1, 1)
    return np.asarray(image)


def assert_within(pixels, drawn, mask):
    """The two differ only that near to the outline of the mask."""
    square = np.ones((2 * pixels + 1,) * 2, bool)
    inner, outer = ndimage.binary_erosion(mask, square), ndimage.binary_dilation(mask, square)
    assert (drawn | ~inner).all()
    assert (outer | ~drawn).all()


def test_a_rectangle_has_four_corners():
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:16] = True
    (outline,) = polygons(mask)
    assert sorted(map(tuple, outline.tolist())) == [(4, 3), (4, 8), (15, 3), (15, 8)]
    np.testing.assert_array_equal(filled([outline], mask.shape), mask)


def test_holes_stay_open():
    mask = np.zeros((60, 80), bool)
    mask[5:55, 5:75] = True
    mask[10:20, 10:30] = mask[30:50, 40:70] = mask[30:40, 8:20] = False
    mask[35:45, 50:60] = True  # an island in a hole
    outlines = polygons(mask)
    assert len(outlines) == 2
    assert_within(1, filled(outlines, mask.shape), mask)


@pytest.mark.parametrize("seed", [0, 1])
def test_rough_regions_are_met_within_two_pixels(seed):
    noise = np.random.default_rng(seed).normal(size=(90, 120))
    mask = ndimage.gaussian_filter(noise, 4) > 0.02
    assert_within(2, filled(polygons(mask), mask.shape), mask)


def test_a_file_lists_the_regions_of_every_class_but_background():
    labels = np.zeros((20, 30), np.uint8)
    labels[2:8, 2:8], labels[10:15, 2:8], labels[2:8, 20:28] = 1, 1, 2
    labels[18, 29] = 2  # too small for a polygon
    tree = labelme(labels, ("background", "arm", "leg"), "../a.jpg")
    assert [shape["label"] for shape in tree["shapes"]] == ["arm", "arm", "leg"]
    assert {shape["shape_type"] for shape in tree["shapes"]} == {"polygon"}
    assert (tree["imageHeight"], tree["imageWidth"], tree["imagePath"]) == (20, 30, "../a.jpg")
    drawn = filled([s["points"] for s in tree["shapes"] if s["label"] == "arm"], labels.shape)
    np.testing.assert_array_equal(drawn, labels == 1)
