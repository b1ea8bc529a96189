"""The state before training, and one optimiser step."""

import contextlib
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Float

from hparse_jax.checkpoint import TrainState
from hparse_jax.config import Config
from hparse_jax.hierarchy import IGNORE
from hparse_jax.losses import count_valid, parsing_loss
from hparse_jax.models.build import NETWORKS, initial_variables
from hparse_jax.models.layers import BatchNorm
from hparse_jax.models.ops import normalise
from hparse_jax.sharding import batch_sharding, replicated
from hparse_jax.training.optimizer import learning_rate, make_optimizer, scaled_to_batch


def create_state(model: nn.Module, config: Config, mesh: Mesh, total_steps: int) -> TrainState:
    """The state before the first step, replicated over the mesh."""
    create = functools.partial(initial_state, model, config, total_steps)
    return jax.jit(create, out_shardings=replicated(mesh))()


def initial_state(model: nn.Module, config: Config, total_steps: int) -> TrainState:
    """The state before the first step, to be traced."""
    variables = initial_variables(model, config.seed)
    new_layers = NETWORKS[config.model.name].new_layers
    optimizer = make_optimizer(config.optimizer, total_steps, new_layers)
    # before the first step there is nothing to average
    average = jax.tree.map(jnp.zeros_like, variables) if config.ema else None
    optimizer_state = optimizer.init(variables["params"])
    return TrainState(jnp.zeros((), jnp.int32), variables, optimizer_state, average)


def make_train_step(
    model: nn.Module,
    config: Config,
    mesh: Mesh,
    total_steps: int,
    class_weights: Float[np.ndarray, "levels 256"] | None = None,
) -> Callable[[TrainState, jax.Array, jax.Array], tuple[TrainState, dict]]:
    """The jitted step: state, images uint8 [b, h, w, 3], labels uint8 [b, h, w] -> state, metrics.

    Images and labels are sharded over the mesh; the state is replicated and donated. With
    config.accumulate = n gradients are accumulated over n micro-batches and add up to those of the
    whole batch (batch norm sees one micro-batch at a time). metrics: scalars by name.
    class_weights: as `hparse_jax.losses.class_weights` gives them, for config.loss.class_weights.
    """
    settings = scaled_to_batch(config.optimizer, config.batch_size)
    new_layers = NETWORKS[config.model.name].new_layers
    optimizer = make_optimizer(settings, total_steps, new_layers)
    rate = learning_rate(settings, total_steps)

    def loss_of(params, batch_stats, images, labels, dropout, valid_pixels):
        frozen = nn.intercept_methods(_frozen) if config.freeze_batch_norm else None
        with frozen or contextlib.nullcontext():
            output, updated = model.apply(
                {"params": params, "batch_stats": batch_stats},
                normalise(images, config.mean, config.std, config.channels),
                train=True,
                inside=labels != IGNORE if config.mask_padding else None,
                mutable=["batch_stats"],
                rngs={"dropout": dropout},
            )
        loss, terms = parsing_loss(
            output, labels, model.hierarchy, config.loss, valid_pixels, class_weights
        )
        return loss, (terms, updated.get("batch_stats", {}))

    gradient_of = jax.value_and_grad(loss_of, has_aux=True)

    def step(state: TrainState, images, labels):
        params, batch_stats = state.variables["params"], state.variables["batch_stats"]
        dropout = jax.random.fold_in(jax.random.key(config.seed), state.step)
        valid_pixels = count_valid(labels, class_weights)

        def accumulate(carry, micro_batch):
            batch_stats, sums = carry
            (loss, (terms, batch_stats)), gradients = gradient_of(
                params, batch_stats, *micro_batch, valid_pixels
            )
            return (batch_stats, jax.tree.map(jnp.add, sums, (loss, terms, gradients))), None

        if config.accumulate == 1:
            (loss, (terms, batch_stats)), gradients = gradient_of(
                params, batch_stats, images, labels, dropout, valid_pixels
            )
        else:
            micro_batches = jax.tree.map(_split(config.accumulate), (images, labels))
            micro_batches = (*micro_batches, jax.random.split(dropout, config.accumulate))
            first = jax.tree.map(lambda x: x[0], micro_batches)
            (loss, (terms, _)), gradients = jax.eval_shape(
                gradient_of, params, batch_stats, *first, valid_pixels
            )
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (loss, terms, gradients))
            (batch_stats, (loss, terms, gradients)), _ = jax.lax.scan(
                accumulate, (batch_stats, zeros), micro_batches
            )

        updates, optimizer_state = optimizer.update(gradients, state.optimizer, params)
        metrics = {
            "loss": loss,
            "learning_rate": rate(state.step),
            "gradient_norm": optax.tree.norm(gradients),
            "weight_norm": optax.tree.norm(params),
            **{f"loss/{name}": term for name, term in terms.items()},
        }
        variables = {"params": optax.apply_updates(params, updates), "batch_stats": batch_stats}
        average = state.average
        if average is not None:
            average = optax.incremental_update(
                variables, average, _share_of_newest(config.ema, state.step + 1)
            )
        new = TrainState(state.step + 1, variables, optimizer_state, average)
        if config.on_nonfinite == "skip":
            finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["gradient_norm"])
            kept = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, state)
            new = kept.replace(step=new.step)
        return new, metrics

    batch = batch_sharding(mesh)
    return jax.jit(
        step,
        in_shardings=(replicated(mesh), batch, batch),
        out_shardings=(replicated(mesh), replicated(mesh)),
        donate_argnums=0,
    )


def _frozen(call, args, kwargs, context: nn.module.InterceptorContext):
    """Lets batch norm, and nothing else (dropout stays), run as in inference."""
    if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
        return call(args[0], train=False)
    return call(*args, **kwargs)


def _share_of_newest(decay: float, step: jax.Array) -> jax.Array:
    """(1 - decay) / (1 - decay^step), the newest weights' share of their moving average.

    So the average is that of the weights after steps 1 to `step` alone, with shares that fall by
    `decay` a step: the weights before the first step have none (Kingma and Ba 2015, section 3).
    """
    # 1 - decay^step loses half its digits in float32 for the first steps of a decay near 1
    return (1.0 - decay) / -jnp.expm1(step * math.log(decay))


def _split(count: int):
    # Image i goes to micro-batch i mod n, so that every device splits its own part of the batch.
    def split(x):
        return jnp.moveaxis(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 1, 0)

    return split
