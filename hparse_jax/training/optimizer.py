"""SGD with momentum and the poly schedule (CNIF section 4.1)."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from hparse_jax.config import OptimizerConfig
from hparse_jax.models.build import BACKBONES


def scaled_to_batch(config: OptimizerConfig, batch_size: int) -> OptimizerConfig:
    """The settings with base_lr in proportion to the batch (Goyal et al. 2017, section 2.1).

    base_lr * batch_size / reference_batch_size; unchanged when that is 0.
    """
    factor = batch_size / (config.reference_batch_size or batch_size)
    return dataclasses.replace(config, base_lr=config.base_lr * factor)


def learning_rate(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """step -> base_lr * (1 - step / total_steps)^power, times a linear warm-up.

    Warm-up step k of n (k = 0, 1, ...) runs at (k + 1) / n of the rate. power 0: a constant rate.
    """

    def rate(step):
        # Not optax.polynomial_schedule: on a CPU its compiled 1 - 7 / 7 is -1e-8, because XLA fuses
        # the division with the subtraction, and a power of it is NaN. The minimum prevents that.
        poly = config.base_lr * (1.0 - jnp.minimum(step / total_steps, 1.0)) ** config.power
        return poly * jnp.minimum(1.0, (step + 1.0) / max(1, config.warmup_steps))

    return rate


def make_optimizer(
    config: OptimizerConfig, total_steps: int, new_layers: tuple[str, ...] = ()
) -> optax.GradientTransformation:
    """As torch.optim.SGD: weight decay is added to the gradient before the momentum.

    It acts on convolution weights alone, not on batch norm and biases, unless decay_all. The layers
    of these names, or without names all but the backbone, learn at new_layers_multiplier times the
    rate; biases at bias_multiplier times that of their layer. A gradient whose norm over all
    weights is above clip_norm is scaled down to it first, before weight decay.
    """

    def kernels(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: "kernel" in path[-1].key, params)

    def biases(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: "bias" in path[-1].key, params)

    def is_new(path, _):
        names = {key.key for key in path}
        return bool(names & set(new_layers)) if new_layers else path[0].key not in BACKBONES

    def new(params):
        return jax.tree_util.tree_map_with_path(is_new, params)

    # only where it acts, so that the state keeps the form of runs that have none
    of_biases = [optax.masked(optax.scale(config.bias_multiplier), biases)]

    # Only where it is asked for: a link of the chain more would change the layout of checkpoints.
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    return optax.chain(
        *clip,
        optax.add_decayed_weights(config.weight_decay, mask=None if config.decay_all else kernels),
        optax.trace(config.momentum),
        optax.masked(optax.scale(config.new_layers_multiplier), new),
        *(of_biases if config.bias_multiplier != 1 else []),
        optax.scale_by_learning_rate(learning_rate(config, total_steps)),
    )
