"""One training step: what accumulation and donation promise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import hparse_jax
from hparse_jax.checkpoint import Checkpoints
from hparse_jax.config import Config, LossConfig, OptimizerConfig
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.losses import class_weights, parsing_loss
from hparse_jax.models import LevelOutput, ParserOutput
from hparse_jax.models.layers import BatchNorm
from hparse_jax.models.ops import normalise
from hparse_jax.models.output import direct_level
from hparse_jax.sharding import data_mesh
from hparse_jax.training.step import create_state, make_train_step

# the joints of PASCAL-Person-Part, and two levels instead of three
PASCAL = hparse_jax.get_hierarchy("pascal_person_part")
PARTS = dataclasses.replace(PASCAL.levels[0], parents=(0, 1, 1, 1, 1, 1, 1))
HIERARCHY = dataclasses.replace(PASCAL, levels=(PARTS, PASCAL.levels[2]))
LEAVES = PASCAL.leaves_only()
MESH = data_mesh(jax.devices()[:1])
STEPS = 10


class Pixelwise(nn.Module):
    """The smallest network: batch norm of the pixels, dropout, one matrix."""

    hierarchy: Hierarchy
    dropout: float = 0.0

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        x = BatchNorm(name="norm")(images, train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = nn.Dense(len(self.hierarchy.levels[0].nodes), name="head")(x)
        return ParserOutput((direct_level(logits),), None)


class TwoLevels(nn.Module):
    """Two levels, the upper with two sources: what a loss of several terms needs."""

    hierarchy: Hierarchy = HIERARCHY

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        x = BatchNorm(name="norm")(nn.Conv(4, (3, 3))(images), train)
        parts, body = (nn.Dense(len(level.nodes))(x) for level in self.hierarchy.levels)
        bottom_up = nn.Dense(len(self.hierarchy.levels[1].nodes))(parts)
        both = LevelOutput(body, None, bottom_up, body + bottom_up, {})
        return ParserOutput((direct_level(parts), both), None)


class AroundTheMean(nn.Module):
    """A matrix of the differences from the mean of the image, which padding would shift."""

    hierarchy: Hierarchy

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        where = None if inside is None else inside[..., None]
        x = images - images.mean((1, 2), keepdims=True, where=where)
        return ParserOutput((direct_level(nn.Dense(len(self.hierarchy.levels[0].nodes))(x)),), None)


@pytest.mark.parametrize(("structure", "levels"), [("none", True), ("product", False)])
def test_accumulated_pieces_give_the_step_of_the_whole_batch(structure, levels):
    """With the same photos in every piece, batch norm sees the same statistics in each of them.

    The labels differ, and with them the number of valid pixels: a mean of means would fail.
    """
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (2, 33, 33, 3), dtype=np.uint8)
    images = np.repeat(photos, 2, axis=0)  # image i goes to piece i mod 2: both get both photos
    labels = rng.integers(0, 7, (4, 33, 33), dtype=np.uint8)
    labels[0, 5:] = 255
    model = TwoLevels() if levels else Pixelwise(LEAVES)
    results = []
    for accumulate in (1, 2):
        config = Config(
            dataset="pascal_person_part",
            accumulate=accumulate,
            loss=LossConfig(structure=structure),
        )
        state = create_state(model, config, MESH, 10)
        step = make_train_step(model, config, MESH, 10)
        before = jax.tree.map(np.asarray, state.variables["params"])
        state, metrics = step(state, images, labels)
        assert int(state.step) == 1
        results.append((jax.device_get(metrics), jax.device_get(state.variables["params"]), before))
    (whole, params, before), (pieces, accumulated, _) = results
    for name, value in whole.items():
        np.testing.assert_allclose(pieces[name], value, rtol=1e-4)
    moved = jax.tree.map(lambda a, b: a - b, params, before)
    moved_in_pieces = jax.tree.map(lambda a, b: a - b, accumulated, before)
    largest = max(np.abs(m).max() for m in jax.tree.leaves(moved))
    assert largest > 0
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(moved_in_pieces), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-3 * largest)


def test_masked_padding_leaves_the_loss_of_a_crop_as_it_is():
    """With running statistics; those of a batch are over the padding, too."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 33, 33, 3), dtype=np.uint8)
    labels = rng.integers(0, 7, (2, 33, 33), dtype=np.uint8)
    around = ((0, 0), (0, 32), (0, 16))
    padded = np.pad(images, (*around, (0, 0)), constant_values=100)
    padded_labels = np.pad(labels, around, constant_values=255)
    model, losses = AroundTheMean(LEAVES), []
    for masked, image, label in (
        (True, images, labels),
        (True, padded, padded_labels),
        (False, padded, padded_labels),
    ):
        config = Config(mask_padding=masked, freeze_batch_norm=True, mean=(100.0, 100.0, 100.0))
        state = create_state(model, config, MESH, 10)
        _, metrics = make_train_step(model, config, MESH, 10)(state, image, label)
        losses.append(float(metrics["loss"]))
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert abs(losses[2] / losses[0] - 1) > 1e-3


def batch(seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
    return images, rng.integers(0, 7, (4, 9, 7), dtype=np.uint8)


def trained(config, steps, model=None, state=None, weights=None):
    """The state before the first step and after each, and the last metrics."""
    model = model or Pixelwise(LEAVES)
    state = state or create_state(model, config, MESH, STEPS)
    step = make_train_step(model, config, MESH, STEPS, weights)
    states, metrics = [jax.tree.map(jnp.copy, state)], {}  # the step takes the state over
    for number in range(int(state.step), steps):
        state, metrics = step(state, *batch(number))
        states.append(jax.tree.map(jnp.copy, state))
    return states, metrics


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_frozen_batch_norm_uses_the_running_statistics_and_leaves_them():
    """The loss is that of the network in inference, dropout apart; scale and bias still learn."""
    model = Pixelwise(LEAVES)
    config = Config(freeze_batch_norm=True, optimizer=OptimizerConfig(base_lr=1.0))
    state = create_state(model, config, MESH, STEPS)
    statistics = {"norm": {"mean": jnp.array([0.1, 0.2, 0.3]), "var": jnp.array([2.0, 3.0, 4.0])}}
    state = state.replace(variables=state.variables | {"batch_stats": statistics})
    (before, after), metrics = trained(config, 1, model, state)
    images, labels = batch()
    normalised = normalise(jnp.asarray(images), config.mean, config.std, config.channels)
    output = model.apply(before.variables, normalised, train=False)
    expected, _ = parsing_loss(output, labels, LEAVES, config.loss)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-6)
    assert_same(after.variables["batch_stats"], before.variables["batch_stats"])
    for name, old in before.variables["params"]["norm"].items():
        assert (after.variables["params"]["norm"][name] != old).any()


def test_frozen_batch_norm_leaves_dropout():
    config = Config(freeze_batch_norm=True)
    losses = [trained(config, 1, Pixelwise(LEAVES, rate))[1]["loss"] for rate in (0.0, 0.5)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_that_of_the_weights_after_each_step(decay):
    states, _ = trained(Config(ema=decay, optimizer=OptimizerConfig(base_lr=1.0)), 4)
    shares = np.array([decay**3, decay**2, decay, 1.0])
    visited = [state.variables for state in states[1:]]

    def check(average, *values):
        expected = np.average(np.stack(values).astype(np.float64), 0, shares)
        np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-6)

    jax.tree.map(check, states[-1].average, *visited)
    assert states[-1].evaluated is states[-1].average


def test_the_average_does_not_touch_the_training():
    plain, _ = trained(Config(), 3)
    averaged, _ = trained(Config(ema=0.9), 3)
    assert plain[-1].average is None
    assert plain[-1].evaluated is plain[-1].variables
    assert_same(plain[-1].variables, averaged[-1].variables)


def test_a_restored_average_goes_on_with_the_same_bits(tmp_path):
    config = Config(ema=0.9, optimizer=OptimizerConfig(clip_norm=0.5))
    model = Pixelwise(LEAVES)
    states, _ = trained(config, 4)
    with Checkpoints(tmp_path, 1) as checkpoints:
        checkpoints.save(states[2], 2)
        checkpoints.wait()
        restored = checkpoints.restore(create_state(model, config, MESH, STEPS))
    resumed, _ = trained(config, 4, model, restored)
    for name in ("variables", "optimizer", "average"):
        assert_same(getattr(resumed[-1], name), getattr(states[-1], name))


def test_accumulated_pieces_share_the_class_weights_of_the_whole_batch():
    """Frozen batch norm, so that pieces see what the whole sees."""
    pixels = dict(zip(LEAVES.levels[0].nodes, (900, 20, 40, 10, 5, 30, 50), strict=True))
    weights = class_weights(pixels, LEAVES, "median_frequency")
    losses, norms = [], []
    for accumulate in (1, 2, 4):
        config = Config(accumulate=accumulate, freeze_batch_norm=True)
        _, metrics = trained(config, 1, weights=weights)
        losses.append(metrics["loss"])
        norms.append(metrics["gradient_norm"])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-5)


def test_the_rate_of_a_step_is_scaled_with_the_batch():
    optimizer = OptimizerConfig(base_lr=0.01, reference_batch_size=8, power=0.0)
    _, metrics = trained(Config(batch_size=4, optimizer=optimizer), 1)
    np.testing.assert_allclose(metrics["learning_rate"], 0.005, rtol=1e-6)


class Breaking(Pixelwise):
    """Whose logits are not numbers for white images."""

    @nn.compact
    def __call__(self, images, train=False, inside=None):
        output = super().__call__(images, train)
        (level,) = output.levels
        logits = level.direct + jnp.where(images.min() > 2.0, jnp.nan, 0.0)
        return ParserOutput((direct_level(logits),), None)


def test_a_skipped_step_leaves_everything_but_its_number():
    config = Config(on_nonfinite="skip", ema=0.5, optimizer=OptimizerConfig(base_lr=1.0))
    model = Breaking(LEAVES)
    step = make_train_step(model, config, MESH, STEPS)
    images, labels = batch()
    state, _ = step(create_state(model, config, MESH, STEPS), images, labels)
    before = jax.tree.map(jnp.copy, state)  # the step takes the state over
    state, metrics = step(state, np.full_like(images, 255), labels)
    assert np.isnan(metrics["loss"])
    assert int(state.step) == 2
    pairs = zip(*map(jax.tree.leaves, (state.replace(step=before.step), before)), strict=True)
    assert all((a == b).all() for a, b in pairs)
    after, metrics = step(state, images, labels)
    assert np.isfinite(metrics["loss"])
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (after, before)), strict=True))


def test_the_norms_are_those_of_the_weights_and_the_gradient():
    (before, after), metrics = trained(Config(optimizer=OptimizerConfig(weight_decay=0.0)), 1)
    squares = [
        np.square(x, dtype=np.float64).sum() for x in jax.tree.leaves(before.variables["params"])
    ]
    np.testing.assert_allclose(metrics["weight_norm"], np.sqrt(sum(squares)), rtol=1e-5)
    moved = jax.tree.map(lambda a, b: a - b, after.variables["params"], before.variables["params"])
    squares = [np.square(x, dtype=np.float64).sum() for x in jax.tree.leaves(moved)]
    # the first step of SGD with momentum is the rate times the gradient
    length = np.sqrt(sum(squares)) / metrics["learning_rate"]
    np.testing.assert_allclose(metrics["gradient_norm"], length, rtol=1e-3)
