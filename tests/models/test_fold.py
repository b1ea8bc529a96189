"""Folding batch norm leaves what a network computes as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from hparse_jax.config import ModelConfig
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.models import build_model
from hparse_jax.models.build import NETWORKS, initial_variables
from hparse_jax.models.fold import fold_batch_norm

LIP = get_hierarchy("lip")
TINY = {"depth": 18, "width": 0.05, "dtype": "float32"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cnif", {}),
        ("cnif", {"node_heads": "shared", "auxiliary": True, "stem": "conv7"}),
        ("segnet", {}),
        pytest.param("cnif_official", {"depth": 50, "width": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_a_folded_network_computes_the_same(name, settings):
    model = build_model(ModelConfig(**{"name": name} | TINY | settings), LIP)
    images = jnp.float32(np.random.default_rng(1).normal(0, 1, (1, 33, 49, 3)))
    variables = random_variables(model, images)
    apply = jax.jit(lambda v: jax.tree.leaves(model.apply(v, images, train=False)))
    for expected, found in zip(apply(variables), apply(fold_batch_norm(variables)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_keeps_the_form_and_what_is_no_norm(name):
    """Without batch norm nothing changes at all."""
    shapes = TINY if name != "cnif_official" else {"depth": 50, "dtype": "float32"}
    model = build_model(ModelConfig(name=name, **shapes), LIP)
    empty = jax.eval_shape(lambda: initial_variables(model, 0))
    variables = jax.tree.map(lambda x: np.ones(x.shape, np.float32), empty)
    folded = fold_batch_norm(variables)
    assert jax.tree.map(jnp.shape, folded) == jax.tree.map(jnp.shape, variables)
    if not variables["batch_stats"]:
        jax.tree.map(np.testing.assert_array_equal, folded, variables)


def test_a_folded_norm_adds_a_bias_alone():
    model = build_model(ModelConfig(name="cnif", **TINY), LIP)
    folded = fold_batch_norm(random_variables(model, jnp.zeros((1, 33, 33, 3))))
    norms = 0
    for path, x in jax.tree_util.tree_leaves_with_path(folded):
        wanted = {"scale": 1.0, "mean": 0.0, "var": np.float32(1 - 1e-5)}.get(path[-1].key)
        if wanted is not None:
            assert (np.asarray(x) == np.float32(wanted)).all()
            norms += path[-1].key == "var"
    assert norms > 30
