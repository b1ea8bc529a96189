"""One training step: what accumulation and donation promise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hparse_jax
from hparse_jax.config import Config, LossConfig, ModelConfig
from hparse_jax.models.cnif import CNIF
from hparse_jax.sharding import data_mesh
from hparse_jax.training.step import create_state, make_train_step

# the joints of PASCAL-Person-Part, and two levels instead of three: less to compile
PASCAL = hparse_jax.get_hierarchy("pascal_person_part")
PARTS = dataclasses.replace(PASCAL.levels[0], parents=(0, 1, 1, 1, 1, 1, 1))
HIERARCHY = dataclasses.replace(PASCAL, levels=(PARTS, PASCAL.levels[2]))


class WithoutBackbone(CNIF):
    """CNIF on the images' own pixels instead of the blocks of a ResNet, which would be compiled."""

    def features(self, images, train=False):
        strides_and_copies = ((4, 2), (8, 6), (16, 8), (16, 8))
        return tuple(jnp.tile(images[:, ::s, ::s], copies) for s, copies in strides_and_copies)


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
    network = ModelConfig(depth=18, width=0.125, hierarchy=levels, dtype="float32")
    model = WithoutBackbone(network, HIERARCHY if levels else HIERARCHY.leaves_only())
    results = []
    for accumulate in (1, 2):
        config = Config(
            dataset="pascal_person_part",
            accumulate=accumulate,
            loss=LossConfig(structure=structure),
        )
        state = create_state(model, config, data_mesh(jax.devices()[:1]), 10)
        step = make_train_step(model, config, data_mesh(jax.devices()[:1]), 10)
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
