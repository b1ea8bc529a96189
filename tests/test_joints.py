"""Joints and the structure error against loops over pixels (LIP section 4.2)."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from hparse_jax.config import LossConfig
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.joints import joint_centres, joint_heatmaps, structure_error
from hparse_jax.losses import parsing_loss
from hparse_jax.models import LevelOutput, ParserOutput
from hparse_jax.models.ops import resize

LIP = get_hierarchy("lip")
# the regions of the paper, by LIP's ids
REGIONS = [(1, 2, 4, 13), (5, 7, 11), (9, 12), (14,), (15,), (16,), (17,), (18,), (19,)]
FIXTURES = pathlib.Path(__file__).parents[2] / "shared" / "data" / "fixtures" / "lip"


def centres_by_hand(labels):
    """For each joint (x, y) or None."""
    centres = []
    for ids in REGIONS:
        xs = [x for (_, x), label in np.ndenumerate(labels) if label in ids]
        ys = [y for (y, _), label in np.ndenumerate(labels) if label in ids]
        centres.append((sum(xs) // len(xs), sum(ys) // len(ys)) if xs else None)
    return centres


def maps_by_hand(labels, sigma=1.0):
    height, width = labels.shape
    maps = np.zeros((len(REGIONS), height, width))
    for joint, centre in enumerate(centres_by_hand(labels)):
        if centre is not None:
            for y in range(height):
                for x in range(width):
                    d2 = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
                    maps[joint, y, x] = (
                        math.exp(-d2 / (2 * sigma**2)) * 4 / (sigma * math.sqrt(2 * math.pi))
                    )
    return maps


def error_by_hand(predicted, labels, constants):
    squares = sum((maps_by_hand(predicted) - maps_by_hand(labels)).ravel() ** 2)
    if constants == "released":
        return 0.05 * 0.5 * squares
    present = sum(centre is not None for centre in centres_by_hand(labels))
    return squares / (2 * max(present, 1))


def random_labels(seed, batch=3, height=13, width=9):
    labels = np.random.default_rng(seed).integers(0, 20, (batch, height, width)).astype(np.uint8)
    labels[0, :4] = 255
    labels[1][labels[1] > 12] = 0  # an image without face, limbs and shoes
    return labels


def real_labels(count=3):
    folder = FIXTURES / "TrainVal_parsing_annotations" / "val_segmentations"
    if not folder.is_dir():
        pytest.skip("needs the real label maps of shared/data/fixtures/lip beside the checkout")
    return [np.asarray(Image.open(path))[::8, ::8] for path in sorted(folder.iterdir())[:count]]


def test_centres_and_heat_maps_of_random_labels():
    labels = random_labels(0)
    centres, present = joint_centres(labels, LIP)
    maps = joint_heatmaps(labels, LIP)
    for i, image in enumerate(labels):
        for joint, centre in enumerate(centres_by_hand(image)):
            assert bool(present[i, joint]) == (centre is not None)
            if centre is not None:
                assert tuple(np.asarray(centres[i, joint]).tolist()) == centre
        np.testing.assert_allclose(maps[i], maps_by_hand(image), atol=1e-6)


def test_heat_maps_of_another_width():
    labels = random_labels(6)
    maps = joint_heatmaps(labels, LIP, 2.5)
    for i, image in enumerate(labels):
        np.testing.assert_allclose(maps[i], maps_by_hand(image, 2.5), atol=1e-6)


def test_heat_maps_of_real_labels():
    for labels in real_labels():
        np.testing.assert_allclose(
            joint_heatmaps(labels[None], LIP)[0], maps_by_hand(labels), atol=1e-6
        )


@pytest.mark.parametrize("constants", ["released", "paper"])
def test_errors_of_random_and_real_pairs(constants):
    predicted, labels = random_labels(1), random_labels(2)
    errors = structure_error(predicted, labels, LIP, constants)
    expected = [error_by_hand(p, t, constants) for p, t in zip(predicted, labels, strict=True)]
    np.testing.assert_allclose(errors, expected, rtol=1e-5)
    for truth in real_labels(2):
        wrong = np.roll(truth, 3, axis=1)
        error = structure_error(wrong[None], truth[None], LIP, constants)
        np.testing.assert_allclose(error, [error_by_hand(wrong, truth, constants)], rtol=1e-4)


def test_perfect_joints_have_no_error():
    labels = random_labels(3)
    np.testing.assert_array_equal(structure_error(labels, labels, LIP), 0.0)


def test_by_default_one_joint_counts_as_much_as_in_the_paper():
    """1 / (2 N) with N = 1: twenty times the released 0.025."""
    labels, predicted = np.zeros((2, 1, 6, 7), np.uint8)
    labels[0, 1, 1], predicted[0, 4, 5] = 1, 1  # a hat, of the head
    by_hand = ((maps_by_hand(predicted[0]) - maps_by_hand(labels[0])) ** 2).sum()
    errors = (
        structure_error(predicted, labels, LIP),
        structure_error(predicted, labels, LIP, "released"),
    )
    np.testing.assert_allclose(np.squeeze(errors), [by_hand / 2, by_hand / 40], rtol=1e-5)
    assert LossConfig().structure_constants == "paper"


def test_an_image_without_joints_counts_as_one_joint():
    """The paper's 1 / (2 N) has no value for N = 0."""
    labels, predicted = np.zeros((1, 6, 7), np.uint8), np.full((1, 6, 7), 14, np.uint8)
    error = structure_error(predicted, labels, LIP, "paper")
    np.testing.assert_allclose(error, [(maps_by_hand(predicted[0]) ** 2).sum() / 2], rtol=1e-5)


def test_other_constants_and_maps_too_large_are_refused():
    with pytest.raises(InputError, match="one of paper, released"):
        structure_error(random_labels(0), random_labels(1), LIP, "papr")
    with pytest.raises(InputError, match="too large to sum positions"):
        joint_centres(np.zeros((1, 2000, 2000), np.uint8), LIP)


def test_the_images_of_a_batch_do_not_leak():
    predicted, labels = random_labels(4), random_labels(5)
    together = structure_error(predicted, labels, LIP)
    alone = [structure_error(predicted[i : i + 1], labels[i : i + 1], LIP)[0] for i in range(3)]
    np.testing.assert_array_equal(together, np.asarray(alone))


def test_large_maps_have_exact_centres():
    labels = np.full((1, 1200, 1600), 14, np.uint8)
    centres, _ = joint_centres(labels, LIP)
    assert np.asarray(centres)[0, 3].tolist() == [1599 // 2, 1199 // 2]


def test_a_hierarchy_without_joints_is_refused():
    with pytest.raises(InputError, match=r"fashion_clothing defines no joints; add them"):
        joint_heatmaps(np.zeros((1, 4, 4), np.uint8), get_hierarchy("fashion_clothing"))


def output_of(logits):
    level = LevelOutput(logits, None, None, logits, {})
    return ParserOutput((level,), None)


@pytest.fixture
def pair():
    """Logits [2, 3, 4, 20] and labels [2, 17, 25]: a grid of stride 8, corners together."""
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(0, 2, (2, 3, 4, 20)), jnp.float32)
    labels = rng.integers(0, 20, (2, 17, 25)).astype(np.uint8)
    labels[0, :3, :9] = 255
    return logits, labels


def image_terms(logits, labels):
    """Per image the sum of cross-entropy (of the plain loss) and the error by hand."""
    count = (labels != 255).sum()
    sums, errors = [], []
    for i in range(len(labels)):
        plain, _ = parsing_loss(
            output_of(logits[i : i + 1]),
            labels[i : i + 1],
            LIP.leaves_only(),
            LossConfig(),
            jnp.float32(count),
        )
        grid = labels[i, ::8, ::8]
        predicted = np.where(grid == 255, 255, np.asarray(logits[i]).argmax(-1))
        sums.append(plain)
        errors.append(error_by_hand(predicted, grid, "paper"))
    return sums, errors


@pytest.mark.parametrize(("structure", "added"), [("product", 0.0), ("one_plus_error", 1.0)])
def test_every_image_is_weighted_by_its_own_error(pair, structure, added):
    logits, labels = pair
    config = LossConfig(structure=structure)
    loss, terms = parsing_loss(output_of(logits), labels, LIP.leaves_only(), config)
    sums, errors = image_terms(logits, labels)
    expected = sum(s * (e + added) for s, e in zip(sums, errors, strict=True))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    pixels = (labels != 255).sum((1, 2))
    mean = np.average(errors, weights=pixels) + added
    np.testing.assert_allclose(terms["structure"], mean, rtol=1e-5)


def test_the_gradient_is_the_error_times_that_of_cross_entropy(pair):
    logits, labels = pair

    def loss(logits, config, labels, count):
        return parsing_loss(output_of(logits), labels, LIP.leaves_only(), config, count)[0]

    count = jnp.float32((labels != 255).sum())
    structured = jax.grad(loss)(logits, LossConfig(structure="product"), labels, count)
    _, errors = image_terms(logits, labels)
    for i, error in enumerate(errors):
        plain = jax.grad(loss)(logits[i : i + 1], LossConfig(), labels[i : i + 1], count)
        np.testing.assert_allclose(structured[i], error * plain[0], rtol=1e-4, atol=1e-9)


def test_joints_can_be_taken_on_another_grid(pair):
    logits, labels = pair
    config = LossConfig(structure="product", structure_stride=4, structure_constants="released")
    _, terms = parsing_loss(output_of(logits), labels, LIP.leaves_only(), config)
    errors = []
    for i in range(len(labels)):
        grid = labels[i, ::4, ::4]
        predicted = np.asarray(resize(logits[i : i + 1], grid.shape)[0]).argmax(-1)
        errors.append(error_by_hand(np.where(grid == 255, 255, predicted), grid, "released"))
    mean = np.average(errors, weights=(labels != 255).sum((1, 2)))
    np.testing.assert_allclose(terms["structure"], mean, rtol=1e-5)


@pytest.mark.parametrize("size", [(33, 17), (32, 40), (30, 21)])
@pytest.mark.parametrize("stride", [4, 8])
def test_a_perfect_prediction_has_no_error_on_any_crop(size, stride):
    """Bands of labels, and logits whose best leaf changes where they do."""
    rows, columns = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    labels = np.where(rows + 0.5 * columns < 0.52, 5, 9).astype(np.uint8)
    rows, columns = np.meshgrid(*(np.linspace(0, 1, n) for n in (5, 6)), indexing="ij")
    logits = np.full((1, 5, 6, 20), -100, np.float32)
    logits[..., 5], logits[..., 9] = 0.52 - rows - 0.5 * columns, 0
    config = LossConfig(structure="product", structure_stride=stride)
    _, terms = parsing_loss(output_of(jnp.asarray(logits)), labels[None], LIP.leaves_only(), config)
    assert float(terms["structure"]) == 0.0


def test_every_map_of_every_level_is_weighted(pair):
    """CNIF's three levels and an auxiliary map; the leaves' fused map alone gives the joints."""
    logits, labels = pair
    rng = np.random.default_rng(1)

    def maps(nodes):
        return jnp.asarray(rng.normal(0, 2, (2, 3, 4, nodes)), jnp.float32)

    levels = (
        LevelOutput(maps(20), maps(20), None, logits, {}),
        LevelOutput(maps(3), maps(3), maps(3), maps(3), {}),
        LevelOutput(maps(2), None, maps(2), maps(2), {}),
    )
    output = ParserOutput(levels, {"auxiliary": maps(20)})
    count = jnp.float32((labels != 255).sum())
    weighted, _ = parsing_loss(output, labels, LIP, LossConfig(structure="product"), count)
    _, errors = image_terms(logits, labels)
    expected = 0.0
    for i, error in enumerate(errors):
        alone = jax.tree.map(lambda x, i=i: x[i : i + 1], output)
        expected += error * parsing_loss(alone, labels[i : i + 1], LIP, LossConfig(), count)[0]
    np.testing.assert_allclose(weighted, expected, rtol=1e-5)


# by the published ids of the datasets, in the paper's order of regions where it has them
OTHER_REGIONS = {
    "pascal_person_part": [(1,), (2,), (3,), (4,), (5,), (6,)],
    "atr": [(1, 2, 3, 11), (4, 17), (5, 6), (14,), (15,), (12,), (13,), (9,), (10,)],
    "cihp": [(1, 2, 4, 13), (5, 7, 11), (9, 12), (14,), (15,), (16,), (17,), (18,), (19,)],
}


@pytest.mark.parametrize("name", OTHER_REGIONS)
def test_the_regions_of_other_hierarchies(name):
    joints = get_hierarchy(name).joints
    assert [tuple(sorted(leaves)) for _, leaves in joints] == OTHER_REGIONS[name]
    assert [tuple(sorted(leaves)) for _, leaves in LIP.joints] == REGIONS
