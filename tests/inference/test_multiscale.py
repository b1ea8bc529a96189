"""The geometry of multi-scale, mirrored scoring, on pictures where bilinear values are exact."""

import numpy as np
import pytest

from hparse_jax.data.buckets import canvas_size
from hparse_jax.errors import InputError
from hparse_jax.inference import multiscale
from hparse_jax.inference.multiscale import Scorer, parse_scales, scaled_side

CANVAS = (129, 97)


def ramp(height, width, canvas=CANVAS, outside=100):
    """Red = 20 + y, blue = 20 + 2 x: linear, so every bilinear resampling of it is exact."""
    image = np.full((*canvas, 3), outside, np.uint8)
    y, x = np.mgrid[:height, :width]
    image[:height, :width] = np.stack([20 + y, 0 * y, 20 + 2 * x], -1)
    return image


def expected_logits(height, width, mirrored_average):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    red, blue = (20 + y - 100) / 50, (20 + 2 * x - 100) / 50
    if mirrored_average:  # in the mirrored photo "left" has what "right" has here
        red = blue = (red + blue) / 2
    return np.stack([np.zeros_like(red), red, blue], -1)


def score(network, config, hierarchy, variables, images, sizes, scales, flip):
    scorer = Scorer(network, config, hierarchy, scales, flip)
    return scorer, scorer(variables, np.stack(images), np.array(sizes, np.int32))


def interior(size, scales):
    """Where no grid cell reaches over the photo's edge: outside, the mean colour bends the ramp."""
    reach = int(np.ceil(8 / min(scales))) + 1
    return np.s_[: size[0] - reach, : size[1] - reach], reach


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5,), (1.5,), (0.5, 1.0, 1.25)])
def test_a_linear_picture_comes_back_exactly(network, config, hierarchy, variables, scales, flip):
    size = (101, 83)
    scorer, scores = score(
        network, config, hierarchy, variables, [ramp(*size)], [size], scales, flip
    )
    logits = scorer.mean_logits(scores, 0, 0, size)
    expected = expected_logits(*size, mirrored_average=flip)
    assert logits.shape == expected.shape
    inside, reach = interior(size, scales)
    if flip:  # the mirrored photo has its padding on the other side
        inside = np.s_[: size[0] - reach, reach : size[1] - reach]
    np.testing.assert_allclose(logits[inside], expected[inside], atol=2e-4)


def test_label_maps_are_the_argmax_of_the_averaged_logits(network, config, hierarchy, variables):
    rng = np.random.default_rng(0)
    image, size = rng.integers(0, 256, (*CANVAS, 3), dtype=np.uint8), (120, 90)
    scorer, scores = score(
        network, config, hierarchy, variables, [image], [size], (0.75, 1.0), True
    )
    for level in (0, 1):
        labels = np.asarray(scores.labels[level][0])
        assert labels.shape == CANVAS
        logits = scorer.mean_logits(scores, level, 0, size)
        inside = labels[: size[0], : size[1]]
        best = np.take_along_axis(logits, inside[..., None].astype(int), -1)[..., 0]
        np.testing.assert_allclose(best, logits.max(-1), atol=1e-5)
        assert not labels[size[0] :].any()
        assert not labels[:, size[1] :].any()


def test_a_mirrored_photo_gets_mirrored_and_swapped_logits(
    network, config, hierarchy, variables, people
):
    size = (110, 77)
    photo = people(*size)
    canvases = [np.full((*CANVAS, 3), 100, np.uint8) for _ in range(2)]
    canvases[0][: size[0], : size[1]] = photo
    canvases[1][: size[0], : size[1]] = photo[:, ::-1]
    scorer, scores = score(
        network, config, hierarchy, variables, canvases, [size, size], (1.0, 1.5), True
    )
    there, mirrored = (scorer.mean_logits(scores, 0, i, size) for i in (0, 1))
    np.testing.assert_allclose(there, mirrored[:, ::-1][..., [0, 2, 1]], atol=1e-4)


def test_averaging_over_flips_makes_no_difference_to_a_symmetric_model(
    network, config, hierarchy, variables
):
    """The flipped view alone must give what the upright view gives: left and right swapped back."""
    size = (97, 81)  # a width of 16 k + 1: the mirrored grid falls on the grid
    rng = np.random.default_rng(3)
    image = np.full((*CANVAS, 3), 100, np.uint8)
    image[: size[0], : size[1]] = rng.integers(0, 256, (*size, 1))  # grey: red = blue
    plain, flipped = (
        score(network, config, hierarchy, variables, [image], [size], (1.0,), flip)
        for flip in (False, True)
    )
    np.testing.assert_allclose(
        flipped[0].mean_logits(flipped[1], 0, 0, size),
        plain[0].mean_logits(plain[1], 0, 0, size),
        atol=1e-5,
    )


def test_neither_companions_nor_what_lies_outside_a_photo_matter(
    network, config, hierarchy, variables
):
    sizes = [(60, 41), (129, 97), (33, 90)]
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (*CANVAS, 3), dtype=np.uint8) for _ in sizes]
    cleaned = [image.copy() for image in noise]
    for image, (height, width) in zip(cleaned, sizes, strict=True):
        image[height:] = 100
        image[:, width:] = 100
    options = ((0.75, 1.0), True)
    _, together = score(network, config, hierarchy, variables, noise, sizes, *options)
    for i, size in enumerate(sizes):
        _, alone = score(network, config, hierarchy, variables, [cleaned[i]], [size], *options)
        for level in (0, 1):
            np.testing.assert_array_equal(together.labels[level][i], alone.labels[level][0])


def test_programs_do_not_grow_with_the_number_of_image_sizes(
    network, traces, config, hierarchy, variables
):
    scorer = Scorer(network, config, hierarchy, (1.0, 0.5), True)
    canvas = np.zeros((1, *CANVAS, 3), np.uint8)
    scorer(variables, canvas, np.array([[90, 60]], np.int32))
    programs = (multiscale._show, multiscale._label_maps)
    before = [program._cache_size() for program in programs]
    for height in range(5, 125, 7):
        scorer(variables, canvas, np.array([[height, height // 2 + 1]], np.int32))
    assert traces.seen == [(1, *CANVAS, 3), (1, 65, 49, 3)]  # one for each scale
    assert [program._cache_size() for program in programs] == before


def test_photos_of_many_sizes_share_few_programs(make_parser, traces):
    parser = make_parser()
    rng = np.random.default_rng(0)
    sizes = [(100 + 3 * i, 200 - 4 * i) for i in range(20)]
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for result, size in zip(parser(photos), sizes, strict=True):
        assert result.labels.shape == size
    assert len(traces.seen) == len({canvas_size(*size) for size in sizes}) < len(sizes) / 2


def test_gates_come_from_the_upright_view_nearest_to_scale_one(
    network, config, hierarchy, variables
):
    image = ramp(*CANVAS)
    _, scores = score(
        network, config, hierarchy, variables, [image], [CANVAS], (0.5, 1.0, 2.0), True
    )
    expected = (image[::8, ::8].astype(np.float32) - 100).mean((0, 1)) / 50
    np.testing.assert_allclose(scores.gates[0]["direct"][0], expected, atol=1e-4)


def test_scaled_canvases_hold_the_photo_on_sides_16_k_plus_1():
    for side in (97, 129, 513, 1025):
        for scale in (0.5, 0.75, 1.0, 1.25, 1.5):
            scaled = scaled_side(side, scale)
            assert scaled % 16 == 1
            assert round(side * scale) <= scaled < side * scale + 17
    assert scaled_side(513, 1.0) == 513


def test_wrong_scales_are_named():
    assert parse_scales(None) is None
    assert parse_scales(["0.5", "1"]) == (0.5, 1.0)
    for wrong in (["x"], ["0"], [], ["nan"]):
        with pytest.raises(InputError, match="--scales="):
            parse_scales(wrong)
