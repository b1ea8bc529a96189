"""The image embedding against plain functions."""

import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import conv, conv_norm, corners_together
from random_variables import random_variables

from hparse_jax.config import ModelConfig
from hparse_jax.models.context import ImageEmbedding


@pytest.mark.parametrize(
    ("switches", "rates"),
    [
        ({}, (6, 12, 18)),
        ({"output_stride": 8}, (12, 24, 36)),
        ({"aspp_norm": False, "aspp_rates": (1, 2)}, (1, 2)),
    ],
    ids=["stride16", "stride8", "own-rates-without-norm"],
)
def test_the_embedding_is_the_context_at_block_2s_size_plus_block_2(switches, rates):
    """Of images of 129 x 97 whose photo takes 100 x 97: 7 rows at stride 16, 13 at stride 8."""
    rng = np.random.default_rng(0)

    def block(*shape):
        return jnp.asarray(rng.normal(size=(2, *shape)), jnp.float32)

    coarse, rows = ((17, 13), 13) if switches.get("output_stride") == 8 else ((9, 7), 7)
    inside = jnp.zeros((2, 129, 97), bool).at[:, :100].set(True)
    blocks = (block(33, 25, 4), block(17, 13, 8), block(*coarse, 12), block(*coarse, 16))
    module = ImageEmbedding(ModelConfig(**switches, dtype="float32"))
    variables = random_variables(module, blocks)
    embedding = module.apply(variables, blocks, inside=inside)

    params, stats = variables["params"]["aspp"], variables.get("batch_stats", {}).get("aspp", {})

    def layer(x, name, rate=1, **weights):
        weights = weights or params[name]
        return conv_norm(x, weights, stats[name], rate) if stats else conv(x, weights, rate)

    branches = {"point": 1, **{f"rate{rate}": rate for rate in rates}}
    maps = [layer(blocks[3], name, rate) for name, rate in branches.items()]
    mean = layer(blocks[3][:, :rows].mean((1, 2), keepdims=True), "image")
    maps.append(jnp.broadcast_to(mean, maps[0].shape))
    project = {**params["project"], "kernel": params["project"]["kernel"][None, None]}
    context = layer(jnp.concatenate(maps, -1), "project", **project)
    context = corners_together(context, (17, 13)).at[:, 15:].set(0)  # rows to 112 are kept
    expected = context + blocks[1]
    np.testing.assert_allclose(embedding, expected, atol=1e-4)
