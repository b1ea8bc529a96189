"""SegNet: its layers, and batch norm in training."""

import jax
import plain_networks


def test_every_layer_is_the_papers(assert_same_logits):
    assert_same_logits("segnet", plain_networks.segnet)


def test_batch_norm_learns_in_training(network):
    model, variables, images = network("segnet", (33, 33))
    _, state = model.apply(variables, images, train=True, mutable=["batch_stats"])
    before, after = (jax.tree.leaves(v["batch_stats"]) for v in (variables, state))
    assert len(after) == 2 * (13 + 12)
    assert all((a != b).any() for a, b in zip(before, after, strict=True))
