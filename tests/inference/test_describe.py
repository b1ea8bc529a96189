"""The report of a photo."""

import dataclasses

import numpy as np

from hparse_jax.inference.describe import describe


def test_a_stray_pixel_widens_the_box_but_not_the_largest_regions(parser, people):
    """Two regions that touch at a corner are one."""
    labels = np.zeros((50, 40), np.uint8)
    labels[10:14, 5:9] = labels[14:20, 9:15] = 1
    labels[49, 39] = labels[0, 20:30] = 1
    result = parser(people(50, 40))
    result = dataclasses.replace(result, labels=labels, levels=(labels, np.zeros_like(labels)))
    report = describe(result)
    background, left = report["levels"][0]["classes"]
    assert (left["name"], left["share"]) == ("left", round((16 + 36 + 11) / 2000, 4))
    assert left["box"] == [5, 0, 40, 50]
    assert left["largest_box"] == [5, 10, 15, 20]
    assert background["box"] == background["largest_box"] == [0, 0, 40, 50]
    assert report["box_format"].startswith("x0, y0, x1, y1")
