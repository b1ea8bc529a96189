"""The geometry of multi-scale, mirrored prediction, where bilinear values are exact."""

import jax.numpy as jnp
import numpy as np
import pytest

from hparse_jax.data.buckets import Batch, bucket_size
from hparse_jax.inference import multiscale
from hparse_jax.inference.multiscale import MultiScalePredictor, consistent_labels, view_side

BUCKET = (129, 97)


def ramp(height, width, bucket=BUCKET, outside=100):
    """Red = 20 + y, blue = 20 + 2 x: linear, so every bilinear resampling of it is exact."""
    image = np.full((*bucket, 3), outside, np.uint8)
    y, x = np.mgrid[:height, :width]
    image[:height, :width] = np.stack([20 + y, 0 * y, 20 + 2 * x], -1)
    return image


def expected_logits(height, width, mirrored_average):
    y, x = np.mgrid[:height, :width].astype(np.float32)
    red, blue = (20 + y - 100) / 50, (20 + 2 * x - 100) / 50
    if mirrored_average:  # in the mirrored photo "left" has what "right" has here
        red = blue = (red + blue) / 2
    return np.stack([np.zeros_like(red), red, blue], -1)


def batch_of(images, sizes, output_sizes=None):
    images, sizes = np.stack(images), np.array(sizes, np.int32)
    output_bucket = images.shape[1:3]
    if output_sizes is not None:
        output_bucket = bucket_size(*np.max(output_sizes, 0).tolist())
    output_sizes = np.array(sizes if output_sizes is None else output_sizes, np.int32)
    return Batch(images, sizes, output_sizes, output_bucket, list(range(len(images))))


def predict(network, config, hierarchy, variables, images, sizes, scales, flip):
    predictor = MultiScalePredictor(network, variables, config, hierarchy, scales, flip)
    return predictor, predictor(batch_of(images, sizes))


def interior(size, scales):
    """Where no grid cell reaches over the photo's edge: outside, the mean colour bends the ramp."""
    reach = int(np.ceil(8 / min(scales))) + 1
    return np.s_[: size[0] - reach, : size[1] - reach], reach


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5,), (1.5,), (0.5, 1.0, 1.25)])
def test_a_linear_picture_comes_back_exactly(network, config, hierarchy, variables, scales, flip):
    size = (101, 83)
    predictor, prediction = predict(
        network, config, hierarchy, variables, [ramp(*size)], [size], scales, flip
    )
    logits = predictor.mean_logits(prediction, 0, 0)
    expected = expected_logits(*size, mirrored_average=flip)
    assert logits.shape == expected.shape
    inside, reach = interior(size, scales)
    if flip:  # the mirrored photo has its padding on the other side
        inside = np.s_[: size[0] - reach, reach : size[1] - reach]
    np.testing.assert_allclose(logits[inside], expected[inside], atol=2e-4)


def test_label_maps_are_the_argmax_of_the_averaged_logits(network, config, hierarchy, variables):
    rng = np.random.default_rng(0)
    image, size = rng.integers(0, 256, (*BUCKET, 3), dtype=np.uint8), (120, 90)
    predictor, prediction = predict(
        network, config, hierarchy, variables, [image], [size], (0.75, 1.0), True
    )
    for level in (0, 1):
        labels = np.asarray(prediction.labels[level][0])
        assert labels.shape == BUCKET
        logits = predictor.mean_logits(prediction, 0, level)
        inside = labels[: size[0], : size[1]]
        best = np.take_along_axis(logits, inside[..., None].astype(int), -1)[..., 0]
        np.testing.assert_allclose(best, logits.max(-1), atol=1e-5)
        assert not labels[size[0] :].any()
        assert not labels[:, size[1] :].any()


def test_consistent_labels_are_the_best_of_all_paths_of_a_deep_tree():
    """Against every path of four levels by hand, at every pixel."""
    parents = ((0, 1, 1, 2, 3, 3, 4), (0, 1, 1, 2, 2), (0, 1, 1))
    sizes = (7, 5, 3, 2)
    rng = np.random.default_rng(5)
    logits = [rng.normal(0, 3, (2, 4, 5, nodes)).astype(np.float32) for nodes in sizes]
    labels = consistent_labels(parents, [jnp.asarray(x) for x in logits])
    logp = [x - np.log(np.exp(x.astype(float)).sum(-1, keepdims=True)) for x in logits]
    contradictions = 0
    for pixel in np.ndindex(2, 4, 5):
        best, path = -np.inf, None
        for leaf in range(sizes[0]):
            nodes = [leaf]
            for up in parents:
                nodes.append(up[nodes[-1]])
            score = sum(x[pixel][node] for x, node in zip(logp, nodes, strict=True))
            best, path = max((best, path), (score, nodes))
        assert [int(x[pixel]) for x in labels] == path
        own = [int(x[pixel].argmax()) for x in logits]
        contradictions += any(up[a] != b for up, a, b in zip(parents, own, own[1:], strict=True))
    assert contradictions > 10


def test_label_maps_of_a_consistent_predictor_agree(network, config, hierarchy, variables):
    rng = np.random.default_rng(0)
    image, size = rng.integers(0, 256, (*BUCKET, 3), dtype=np.uint8), (120, 90)
    parents = np.array(hierarchy.levels[0].parents)
    for consistent in (False, True):
        predictor = MultiScalePredictor(
            network, variables, config, hierarchy, (0.75, 1.0), True, consistent
        )
        leaves, bodies = predictor(batch_of([image], [size])).labels
        assert (parents[np.asarray(leaves)] == np.asarray(bodies)).all() == consistent


def test_a_mirrored_photo_gets_mirrored_and_swapped_logits(
    network, config, hierarchy, variables, people
):
    size = (110, 77)
    photo = people(*size)
    buckets = [np.full((*BUCKET, 3), 100, np.uint8) for _ in range(2)]
    buckets[0][: size[0], : size[1]] = photo
    buckets[1][: size[0], : size[1]] = photo[:, ::-1]
    predictor, prediction = predict(
        network, config, hierarchy, variables, buckets, [size, size], (1.0, 1.5), True
    )
    there, mirrored = (predictor.mean_logits(prediction, i, 0) for i in (0, 1))
    np.testing.assert_allclose(there, mirrored[:, ::-1][..., [0, 2, 1]], atol=1e-4)


def test_averaging_over_flips_makes_no_difference_to_a_symmetric_model(
    network, config, hierarchy, variables
):
    """The flipped view alone must give what the upright view gives: left and right swapped back."""
    size = (97, 81)  # a width of 16 k + 1: the mirrored grid falls on the grid
    rng = np.random.default_rng(3)
    image = np.full((*BUCKET, 3), 100, np.uint8)
    image[: size[0], : size[1]] = rng.integers(0, 256, (*size, 1))  # grey: red = blue
    plain, flipped = (
        predict(network, config, hierarchy, variables, [image], [size], (1.0,), flip)
        for flip in (False, True)
    )
    np.testing.assert_allclose(
        flipped[0].mean_logits(flipped[1], 0, 0),
        plain[0].mean_logits(plain[1], 0, 0),
        atol=1e-5,
    )


def test_neither_companions_nor_what_lies_outside_a_photo_matter(
    network, config, hierarchy, variables
):
    sizes = [(60, 41), (129, 97), (33, 90)]
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, (*BUCKET, 3), dtype=np.uint8) for _ in sizes]
    cleaned = [image.copy() for image in noise]
    for image, (height, width) in zip(cleaned, sizes, strict=True):
        image[height:] = 100
        image[:, width:] = 100
    options = ((0.75, 1.0), True)
    _, together = predict(network, config, hierarchy, variables, noise, sizes, *options)
    for i, size in enumerate(sizes):
        _, alone = predict(network, config, hierarchy, variables, [cleaned[i]], [size], *options)
        for level in (0, 1):
            np.testing.assert_array_equal(together.labels[level][i], alone.labels[level][0])


def test_programs_do_not_grow_with_the_number_of_image_sizes(
    network, traces, config, hierarchy, variables
):
    predictor = MultiScalePredictor(network, variables, config, hierarchy, (1.0, 0.5), True)
    image = np.zeros((*BUCKET, 3), np.uint8)
    predictor(batch_of([image], [BUCKET], [(90, 60)]))
    programs = (multiscale._show, multiscale._label_maps)
    before = [program._cache_size() for program in programs]
    for height in range(5, 97, 7):
        predictor(batch_of([image], [(height, height // 2 + 1)], [(height // 2 + 2, height)]))
    assert traces.seen == [(1, *BUCKET, 3), (1, 65, 49, 3)]  # one for each scale
    assert [program._cache_size() for program in programs] == before


def test_consistent_predictors_share_a_program(network, config, hierarchy, variables):
    image = np.zeros((*BUCKET, 3), np.uint8)
    sizes = []
    for _ in range(3):
        predictor = MultiScalePredictor(
            network, variables, config, hierarchy, (1.0,), consistent=True
        )
        predictor(batch_of([image], [BUCKET]))
        sizes.append(multiscale._label_maps._cache_size())
    assert sizes[1:] == sizes[:1] * 2


def test_photos_of_many_sizes_share_few_programs(make_parser, traces):
    parser = make_parser()
    rng = np.random.default_rng(0)
    sizes = [(100 + 3 * i, 200 - 4 * i) for i in range(20)]
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for result, size in zip(parser(photos), sizes, strict=True):
        assert result.labels.shape == size
    assert len(traces.seen) == len({bucket_size(*size) for size in sizes}) < len(sizes) / 2


def test_gates_come_from_the_upright_view_nearest_to_scale_one(
    network, config, hierarchy, variables
):
    image = ramp(*BUCKET)
    _, prediction = predict(
        network, config, hierarchy, variables, [image], [BUCKET], (0.5, 1.0, 2.0), True
    )
    expected = (image[::8, ::8].astype(np.float32) - 100).mean((0, 1)) / 50
    np.testing.assert_allclose(prediction.gates[0]["direct"][0], expected, atol=1e-4)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("bucket", [BUCKET, (193, 257)])
def test_averages_over_the_image_leave_out_the_bucket_around_the_photo(
    network, config, hierarchy, variables, bucket, scale
):
    """Of a photo of one colour: the same whatever surrounds it."""
    image, size = np.zeros((*bucket, 3), np.uint8), (90, 70)
    image[: size[0], : size[1]] = (150, 100, 50)
    predictor = MultiScalePredictor(network, variables, config, hierarchy, (scale,), True)
    gates = predictor(batch_of([image], [size])).gates[0]["direct"]
    np.testing.assert_allclose(gates, [[1, 0, -1]], atol=1e-5)


def test_scaled_buckets_hold_the_photo_on_sides_16_k_plus_1():
    for side in (97, 129, 513, 1025):
        for scale in (0.5, 0.75, 1.0, 1.25, 1.5):
            scaled = view_side(side, scale)
            assert scaled % 16 == 1
            assert round(side * scale) <= scaled < side * scale + 17
    assert view_side(513, 1.0) == 513


@pytest.mark.parametrize("flip", [False, True])
def test_label_maps_may_have_another_size_than_the_photo_as_shown(
    network, config, hierarchy, variables, flip
):
    """Corners on corners: pixel i of n reads the shown photo at i * (shown - 1) / (n - 1)."""
    shown, wanted = (65, 97), (113, 49)
    image = ramp(*shown, bucket=bucket_size(*shown))
    predictor = MultiScalePredictor(network, variables, config, hierarchy, (1.0,), flip)
    prediction = predictor(batch_of([image], [shown], [wanted]))
    y = np.linspace(0, shown[0] - 1, wanted[0])[:, None]
    x = np.linspace(0, shown[1] - 1, wanted[1])[None, :]
    red, blue = (y - 80 + 0 * x) / 50, (2 * x - 80 + 0 * y) / 50
    if flip:
        red = blue = (red + blue) / 2
    expected = np.stack([0 * red, red, blue], -1)
    logits = predictor.mean_logits(prediction, 0, 0)
    np.testing.assert_allclose(logits, expected, atol=2e-4)
    labels = np.asarray(prediction.labels[0][0])
    assert labels.shape == bucket_size(*wanted)
    inside = labels[: wanted[0], : wanted[1]]
    best = np.take_along_axis(expected, inside[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(best, expected.max(-1), atol=1e-3)
    assert not labels[wanted[0] :].any()
