"""A compiler that is known to be wrong is found before anything is computed with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from hparse_jax.errors import InputError

_ROWS = 32769


@functools.cache
def check_compiler() -> None:
    """Raises InputError when XLA gets a case wrong that jaxlib 0.10 got wrong on a CPU.

    Squared lengths of 32,769 vectors, compared with NumPy's in float64. Takes 0.05 s once in a
    process. Nothing is said about other backends, where products may round more on purpose.
    """
    if jax.default_backend() != "cpu":
        return
    rows = np.random.default_rng(0).standard_normal((_ROWS, 3)).astype(np.float32)
    found = np.asarray(_squared_lengths(rows), np.float64)
    wanted = np.square(rows, dtype=np.float64).sum(1)
    worst = np.abs(found / wanted - 1).max()
    if not worst < 1e-5:
        raise InputError(
            f"jaxlib {jax.lib.__version__}: a sum that is known comes out wrong by {worst:.1%} on "
            "this CPU; set XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type= or install another "
            "version of jaxlib"
        )


@jax.jit
def _squared_lengths(rows):
    return jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(rows)
