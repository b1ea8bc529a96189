"""The baselines give the numbers of their plain doubles, with random weights of every kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks
import pytest
from flax import linen as nn

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.build import initial_variables

PARTS = get_hierarchy("pascal_person_part").leaves_only()
NAMES = ("segnet", "fcn8s", "deeplab_v2", "attention")


def network(name, size):
    """(model, variables without zeros, images)."""
    model = build_model(ModelConfig(name=name, width=0.02, dtype="float32"), PARTS)
    images = jax.random.normal(jax.random.key(0), (2, *size, 3))
    variables = jax.jit(initial_variables, static_argnums=(0, 1))(model, 1)
    rng = np.random.default_rng(2)

    def filled(path, x):
        noise = rng.normal(0, 0.3, x.shape)
        kind = path[-1].key
        value = {"kernel": x, "bias": 0, "mean": 0, "scale": 1, "var": 1}[kind]
        return jnp.asarray(value + (np.abs(noise) if kind == "var" else noise), jnp.float32)

    return model, jax.tree_util.tree_map_with_path(filled, variables), images


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_is_the_papers(name):
    model, variables, images = network(name, (74, 91))
    logits = np.asarray(jax.jit(model.apply)(variables, images).levels[0].fused)
    expected = np.asarray(getattr(plain_networks, name)(images, variables))
    assert expected.shape == logits.shape
    assert expected.std() > 1e-3
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "count"), [("fcn8s", 2), ("deeplab_v2", 8), ("attention", 7)])
def test_training_drops_half_of_fc6_and_fc7_and_of_attention(name, count):
    model, variables, images = network(name, (33, 33))

    @functools.partial(jax.jit, static_argnums=0)
    def dropped(train):
        _, state = model.apply(
            variables,
            images,
            train=train,
            rngs={"dropout": jax.random.key(3)},
            mutable=["intermediates"],
            capture_intermediates=lambda module, _: isinstance(module, nn.Dropout),
        )
        return jax.tree.leaves(state["intermediates"])

    kept, half = dropped(False), dropped(True)
    assert len(kept) == len(half) == count
    for whole, part in zip(kept, half, strict=True):
        share = (part != 0).sum() / jnp.maximum((whole != 0).sum(), 1)
        assert 0.25 < share < 0.75


def test_segnets_batch_norm_learns_in_training():
    model, variables, images = network("segnet", (33, 33))
    _, state = model.apply(variables, images, train=True, mutable=["batch_stats"])
    before, after = (jax.tree.leaves(v["batch_stats"]) for v in (variables, state))
    assert len(after) == 2 * (13 + 12)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_features_are_the_five_blocks(name):
    model, variables, images = network(name, (49, 33))
    blocks = model.apply(variables, images, method="features")
    strides = (1, 2, 4, 8, 8) if name in ("deeplab_v2", "attention") else (1, 2, 4, 8, 16)
    assert [x.shape[1] for x in blocks] == [-(-49 // s) for s in strides]
