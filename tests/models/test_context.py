"""The image embedding against plain functions."""

import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import conv_norm, corners_together
from random_variables import random_variables

from hparse_jax.config import ModelConfig
from hparse_jax.models.context import ImageEmbedding


@pytest.mark.parametrize(("output_stride", "rates"), [(16, (6, 12, 18)), (8, (12, 24, 36))])
def test_the_embedding_is_the_context_at_block_2s_size_plus_block_2(output_stride, rates):
    rng = np.random.default_rng(0)

    def block(*shape):
        return jnp.asarray(rng.normal(size=(2, *shape)), jnp.float32)

    coarse = (9, 7) if output_stride == 16 else (17, 13)
    blocks = (block(33, 25, 4), block(17, 13, 8), block(*coarse, 12), block(*coarse, 16))
    module = ImageEmbedding(ModelConfig(output_stride=output_stride, dtype="float32"))
    variables = random_variables(module, blocks)
    embedding = module.apply(variables, blocks)

    params, stats = variables["params"]["aspp"], variables["batch_stats"]["aspp"]
    branches = {"point": 1, **{f"rate{rate}": rate for rate in rates}}
    maps = [conv_norm(blocks[3], params[n], stats[n], rate) for n, rate in branches.items()]
    mean = conv_norm(blocks[3].mean((1, 2), keepdims=True), params["image"], stats["image"])
    maps.append(jnp.broadcast_to(mean, maps[0].shape))
    project = {**params["project"], "kernel": params["project"]["kernel"][None, None]}
    context = conv_norm(jnp.concatenate(maps, -1), project, stats["project"])
    expected = corners_together(context, (17, 13)) + blocks[1]
    np.testing.assert_allclose(embedding, expected, atol=1e-4)
