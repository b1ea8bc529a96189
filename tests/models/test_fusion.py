"""Fusion of a level's sources, by pixel and node in NumPy (CNIF section 3.1 and Eq. 17)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from hparse_jax.models.fusion import FusionNetwork, StaticFusion

NODES = 4
SOURCES = ("direct", "top_down", "bottom_up")
MAPS = dict(
    zip(
        SOURCES,
        jnp.asarray(np.random.default_rng(0).normal(0, 2, (3, 2, 3, 5, NODES)), jnp.float32),
        strict=True,
    )
)
IMAGES = jnp.asarray(np.random.default_rng(2).normal(size=(2, 6)), jnp.float32)  # level maps' means


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def fused_by_hand(rule, maps, parameter):
    """p(y | all sources) of every pixel."""
    probabilities = np.zeros(maps["direct"].shape)
    for index in np.ndindex(probabilities.shape[:3]):
        each = [softmax(np.asarray(x[index], np.float64)) for x in maps.values()]
        if rule == "ensemble":  # Eq. 4
            weights = softmax(IMAGES[index[0]] @ parameter["kernel"] + parameter["bias"])
            fused = sum(w * p for w, p in zip(weights, each, strict=True))
        else:  # Eq. 1; Eq. 2 and 3 divide by the prior, which every source has counted once
            fused = np.prod(each, 0)
            if rule == "bayesian":
                fused = fused / softmax(parameter) ** (len(each) - 1)
        probabilities[index] = fused / fused.sum()
    return probabilities


@pytest.mark.parametrize("sources", [("direct", "bottom_up"), SOURCES])
@pytest.mark.parametrize("rule", ["product_of_experts", "bayesian", "ensemble"])
def test_a_static_rule_fuses_distributions(rule, sources):
    """With a prior that is not uniform, and weights that differ from image to image."""
    maps = {source: MAPS[source] for source in sources}
    variables = random_variables(StaticFusion(rule), maps, IMAGES)
    parameter = next(iter(variables.get("params", {"": None}).values()))
    fused = np.asarray(StaticFusion(rule).apply(variables, maps, IMAGES))
    expected = fused_by_hand(rule, maps, parameter)
    actual = np.exp(fused) / np.exp(fused).sum(-1, keepdims=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_a_bayesian_prior_starts_uniform_and_ensemble_weights_start_equal():
    for rule, same_as in (("bayesian", "product_of_experts"), ("ensemble", "mean")):
        fused, _ = StaticFusion(rule).init_with_output(jax.random.key(0), MAPS, IMAGES)
        if same_as == "mean":
            each = [np.exp(m) / np.exp(m).sum(-1, keepdims=True) for m in MAPS.values()]
            expected = np.log(np.mean(each, 0))
        else:
            expected = np.asarray(StaticFusion(same_as).apply({}, MAPS, IMAGES))
        # equal up to a constant per pixel
        assert np.ptp(fused - expected, -1).max() < 1e-5


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("gated", [True, False], ids=["conditional", "unconditional"])
@pytest.mark.parametrize("sources", [("direct", "top_down"), SOURCES])
def test_the_fusion_network_reads_the_sources_of_each_node(sources, gated, shared):
    maps = {source: MAPS[source] for source in sources}
    gates = {}
    if gated:
        values = np.random.default_rng(1).uniform(size=(len(sources), 2, NODES))
        values[1:, :, 0] = 0  # background has neither parent nor children
        gates = dict(zip(sources, jnp.asarray(values, jnp.float32), strict=True))
    module = FusionNetwork(shared, hidden=5)
    variables = random_variables(module, maps, gates)
    fused = module.apply(variables, maps, gates)
    maps, gates = jax.tree.map(np.asarray, (maps, gates))
    params = variables["params"]
    assert params["kernel0"].shape[3] == (1 if shared else NODES)
    for b, i, j, v in np.ndindex(2, 3, 5, NODES):
        x = np.array([maps[s][b, i, j, v] * (gates[s][b, v] if gated else 1) for s in sources])
        if v == 0:
            x[1:] = 0
        own = 0 if shared else v
        for layer in range(3):
            x = np.maximum(x, 0) if layer else x
            x = x @ params[f"kernel{layer}"][0, 0, :, own] + params[f"bias{layer}"][own]
        np.testing.assert_allclose(fused[b, i, j, v], x[0], atol=1e-5)
