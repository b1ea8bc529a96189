"""The training loss against NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hparse_jax
from hparse_jax.config import LossConfig
from hparse_jax.errors import InputError
from hparse_jax.losses import (
    class_weights,
    count_valid,
    cross_entropy,
    lovasz_softmax,
    parsing_loss,
)
from hparse_jax.models import LevelOutput, ParserOutput

HIERARCHY = hparse_jax.get_hierarchy("pascal_person_part")
SIZE = (17, 13)


def bilinear(maps, size):
    """align_corners=True, pixel by pixel. maps [b, h, w, c]."""
    b, h, w, c = maps.shape
    out = np.zeros((b, *size, c))
    for y in range(size[0]):
        for x in range(size[1]):
            py, px = y * (h - 1) / (size[0] - 1), x * (w - 1) / (size[1] - 1)
            y0, x0 = min(int(py), h - 2), min(int(px), w - 2)
            fy, fx = py - y0, px - x0
            out[:, y, x] = (
                maps[:, y0, x0] * (1 - fy) * (1 - fx)
                + maps[:, y0 + 1, x0] * fy * (1 - fx)
                + maps[:, y0, x0 + 1] * (1 - fy) * fx
                + maps[:, y0 + 1, x0 + 1] * fy * fx
            )
    return out


def mean_cross_entropy(maps, targets, weights=None):
    """weights: of the classes; None: 1 each."""
    maps, total, valid = bilinear(np.asarray(maps, np.float64), SIZE), 0.0, 0
    for index in np.ndindex(targets.shape):
        if targets[index] != 255:
            x = maps[index]
            weight = 1.0 if weights is None else weights[targets[index]]
            total += weight * (np.log(np.exp(x - x.max()).sum()) + x.max() - x[targets[index]])
            valid += weight
    return total / valid


def level_labels(labels):
    """PASCAL-Person-Part by hand: 1-4 upper, 5-6 lower body; all of them the full body."""
    halves, body = labels.copy(), labels.copy()
    halves[(labels >= 1) & (labels <= 4)] = 1
    halves[(labels == 5) | (labels == 6)] = 2
    body[(labels >= 1) & (labels <= 6)] = 1
    return [labels, halves, body]


@pytest.fixture
def case():
    rng = np.random.default_rng(0)

    def maps(nodes):
        return jnp.asarray(rng.normal(0, 3, (2, 3, 4, nodes)), jnp.float32)

    levels = (
        LevelOutput(maps(7), maps(7), None, maps(7), {}),
        LevelOutput(maps(3), maps(3), maps(3), maps(3), {}),
        LevelOutput(maps(2), None, maps(2), maps(2), {}),
    )
    labels = rng.integers(0, 7, (2, *SIZE)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.3] = 255
    return ParserOutput(levels, {"auxiliary": maps(7)}), labels


def test_loss_is_eq_18_with_an_auxiliary_term(case):
    output, labels = case
    loss, terms = parsing_loss(output, labels, HIERARCHY, LossConfig(level_weights=(1.0, 0.5, 2.0)))
    expected = {}
    weights = {"parts": 1.0, "halves": 0.5, "body": 2.0, "auxiliary": 0.4}
    named = zip(("parts", "halves", "body"), output.levels, level_labels(labels), strict=True)
    for name, level, targets in named:
        for source in ("direct", "top_down", "bottom_up", "fused"):
            if getattr(level, source) is not None:
                maps = getattr(level, source)
                expected[f"{name}/{source}"] = mean_cross_entropy(maps, targets)
    expected["auxiliary"] = mean_cross_entropy(output.auxiliary["auxiliary"], labels)
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5)
    total = sum(weights[name.split("/")[0]] * value for name, value in expected.items())
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_a_level_with_direct_inference_alone_counts_once(case):
    output, labels = case
    leaf = output.levels[0]
    output = ParserOutput((leaf.replace(top_down=None, fused=leaf.direct),), None)
    loss, terms = parsing_loss(output, labels, HIERARCHY.leaves_only(), LossConfig())
    assert list(terms) == ["parts/direct"]
    np.testing.assert_allclose(loss, mean_cross_entropy(leaf.direct, labels), rtol=1e-5)


def test_pieces_of_a_batch_add_up_to_the_whole(case):
    output, labels = case
    whole, _ = parsing_loss(output, labels, HIERARCHY, LossConfig())
    valid = jnp.asarray((labels != 255).sum(), jnp.float32)
    pieces = 0.0
    for i in range(2):
        piece = jax.tree.map(lambda x, i=i: x[i : i + 1], output)
        pieces += parsing_loss(piece, labels[i : i + 1], HIERARCHY, LossConfig(), valid)[0]
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


# pixels of PASCAL-Person-Part's seven leaves, and by hand those of its 3 halves and 2 bodies
PIXELS = (9000, 200, 400, 100, 0, 300, 50)
COARSER = ((9000, 700, 350), (9000, 1050))


def weights_of(rule):
    leaves = HIERARCHY.levels[0].nodes
    return class_weights(dict(zip(leaves, PIXELS, strict=True)), HIERARCHY, rule)


@pytest.mark.parametrize(
    ("rule", "by_hand"),
    [
        ("median_frequency", lambda counts: np.median([n for n in counts if n]) / np.array(counts)),
        ("inverse_log", lambda counts: 16 / np.log(counts)),
    ],
)
def test_class_weights_follow_from_the_pixels_of_each_level(rule, by_hand):
    weights = weights_of(rule)
    node_of_leaf = (range(7), (0, 1, 1, 1, 1, 2, 2), (0, 1, 1, 1, 1, 1, 1))
    for of_level, counts, nodes in zip(weights, (PIXELS, *COARSER), node_of_leaf, strict=True):
        with np.errstate(divide="ignore"):
            expected = by_hand(counts)
        expected = [expected[node] if counts[node] else 0 for node in nodes]
        np.testing.assert_allclose(of_level[:7], expected, rtol=1e-6)
        assert not of_level[7:].any()


def test_a_class_without_a_count_is_named():
    with pytest.raises(
        InputError, match=r"no count of pixels for head, torso, .*build the dataset"
    ):
        class_weights({"background": 3}, HIERARCHY, "inverse_log")


def test_class_weights_make_each_term_a_weighted_mean(case):
    output, labels = case
    labels[labels == 4] = 0  # has no pixels, hence no weight
    weights = weights_of("median_frequency")
    _, terms = parsing_loss(output, labels, HIERARCHY, LossConfig(), class_weights=weights)
    first_leaves = ((0, 1, 2, 3, 4, 5, 6), (0, 1, 5), (0, 1))
    parts = zip(output.levels, level_labels(labels), weights, first_leaves, strict=True)
    for level, (maps, targets, of_level, leaves) in enumerate(parts):
        expected = mean_cross_entropy(maps.fused, targets, of_level[list(leaves)])
        name = HIERARCHY.levels[level].name
        np.testing.assert_allclose(terms[f"{name}/fused"], expected, rtol=1e-5)
    expected = mean_cross_entropy(output.auxiliary["auxiliary"], labels, weights[0])
    np.testing.assert_allclose(terms["auxiliary"], expected, rtol=1e-5)


def test_equal_class_weights_change_nothing(case):
    output, labels = case
    equal = np.zeros((3, 256), np.float32)
    equal[:, :7] = 2.5
    config = LossConfig(lovasz_weight=1.0)
    plain, _ = parsing_loss(output, labels, HIERARCHY, config)
    weighted, _ = parsing_loss(output, labels, HIERARCHY, config, class_weights=equal)
    np.testing.assert_allclose(weighted, plain, rtol=1e-6)


def test_weighted_pieces_of_a_batch_add_up_to_the_whole(case):
    output, labels = case
    weights, config = weights_of("inverse_log"), LossConfig()
    whole, _ = parsing_loss(output, labels, HIERARCHY, config, class_weights=weights)
    total = count_valid(labels, weights)
    pieces = 0.0
    for i in range(2):
        piece = jax.tree.map(lambda x, i=i: x[i : i + 1], output)
        pieces += parsing_loss(piece, labels[i : i + 1], HIERARCHY, config, total, weights)[0]
    np.testing.assert_allclose(pieces, whole, rtol=1e-6)


def test_a_batch_without_valid_pixels_has_loss_and_gradient_zero(case):
    output, labels = case

    def loss(output):
        return parsing_loss(output, np.full_like(labels, 255), HIERARCHY, LossConfig())[0]

    value, gradient = jax.value_and_grad(loss)(output)
    assert value == 0
    assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(gradient))


def test_ignored_pixels_have_no_gradient():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 2, 3)), jnp.float32)
    targets = np.asarray([[[255, 1], [2, 255]]], np.uint8)
    gradient = np.asarray(jax.grad(lambda x: cross_entropy(x, targets).sum())(logits))
    assert (gradient[targets == 255] == 0).all()
    assert (gradient[targets != 255] != 0).all()


def test_lovasz_softmax_of_hard_predictions_is_one_minus_iou():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 9, 7)).astype(np.uint8)
    labels[labels == 1] = 0  # a class that does not occur
    predicted = rng.integers(0, 4, labels.shape)
    labels[0, :2] = 255
    jaccard = []
    for c in (0, 2):
        truth, guess = (labels == c), (predicted == c) & (labels != 255)
        jaccard.append(1 - (truth & guess).sum() / (truth | guess).sum())
    loss = lovasz_softmax(jnp.asarray(np.eye(4)[predicted], jnp.float32), labels)
    np.testing.assert_allclose(loss, np.mean(jaccard), rtol=1e-6)


def test_a_stride_of_lovasz_softmax_leaves_out_pixels(case):
    """Logits of the label's own size: every third pixel of both, and nothing else."""
    _, labels = case
    rng = np.random.default_rng(3)
    leaves = HIERARCHY.leaves_only()
    logits = jnp.asarray(rng.normal(size=(*labels.shape, len(leaves.levels[0].nodes))), jnp.float32)
    maps = LevelOutput(direct=logits, top_down=None, bottom_up=None, fused=logits, gates={})
    config = LossConfig(lovasz_weight=1.0, lovasz_stride=3)
    _, terms = parsing_loss(ParserOutput((maps,), {}), labels, leaves, config)
    expected = lovasz_softmax(jax.nn.softmax(logits[:, ::3, ::3]), labels[:, ::3, ::3])
    np.testing.assert_allclose(terms["parts/lovasz"], expected, rtol=1e-5)


def test_level_weights_of_another_depth_are_refused(case):
    output, labels = case
    with pytest.raises(InputError, match="give 3 weights"):
        parsing_loss(output, labels, HIERARCHY, LossConfig(level_weights=(1.0, 1.0)))
