"""FCN-8s: its layers, its doublings, and the grid of its scores."""

import jax
import jax.numpy as jnp
import numpy as np
import plain_networks

from hparse_jax.models.baselines.fcn import Double, _align_corners


def test_every_layer_is_the_papers(assert_same_logits):
    assert_same_logits("fcn8s", plain_networks.fcn8s)


def test_training_drops_half_of_fc6_and_fc7(assert_half_is_dropped):
    assert_half_is_dropped("fcn8s", 2)


def test_a_doubling_is_bilinear_at_the_start():
    x = jnp.arange(5.0)[None, None, :, None] + jnp.zeros((1, 4, 1, 2))
    doubled, _ = Double().init_with_output(jax.random.key(0), x, (8, 10))
    # centres of halved pixels: -0.25, 0.25, 0.75, ...; edges fade to zero
    np.testing.assert_allclose(doubled[0, 3, 1:9, 1], np.arange(8) * 0.5 + 0.25, atol=1e-6)


def test_scores_move_from_centres_to_corners():
    """A ramp over pixels, averaged over 8 x 8 blocks, gives its values at every 8th pixel."""
    ramp = np.arange(64.0, dtype=np.float32)
    blocks = jnp.asarray(ramp.reshape(8, 8).mean(1))[None, :, None, None] + jnp.zeros((1, 8, 8, 1))
    moved = np.asarray(_align_corners(blocks, (64, 64)))[0, :, 0, 0]
    np.testing.assert_allclose(moved[1:], ramp[8::8], atol=1e-5)
