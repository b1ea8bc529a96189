"""Checks that the baselines share; they ask for these fixtures by name."""

import functools

import jax
import numpy as np
import pytest
from flax import linen as nn
from random_variables import random_variables

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model


@pytest.fixture
def network():
    """network(name, size) -> (model with few channels, variables without zeros, images)."""

    def network(name, size, **fields):
        parts = get_hierarchy("pascal_person_part").leaves_only()
        model = build_model(ModelConfig(name=name, width=0.02, dtype="float32", **fields), parts)
        images = jax.random.normal(jax.random.key(0), (2, *size, 3))
        return model, random_variables(model, images), images

    return network


@pytest.fixture
def assert_same_logits(network):
    """assert_same_logits(name, plain): the network's logits are those of its plain double."""

    def check(name, plain, **fields):
        model, variables, images = network(name, (74, 91), **fields)
        logits = np.asarray(jax.jit(model.apply)(variables, images).levels[0].fused)
        expected = np.asarray(plain(images, variables))
        assert expected.shape == logits.shape
        assert expected.std() > 1e-3
        np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())

    return check


@pytest.fixture
def assert_half_is_dropped(network):
    """assert_half_is_dropped(name, count): by each of so many dropouts, and in training alone."""

    def check(name, count):
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
            share = (part != 0).sum() / max(1, (whole != 0).sum())
            assert 0.25 < share < 0.75

    return check
