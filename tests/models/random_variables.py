"""Variables of a network, none at its initial value, so that none can be forgotten."""

import jax
import numpy as np


def random_variables(model, *inputs, seed=2, **arguments):
    """Sampled with NumPy from the variables' shapes: nothing has to be compiled."""
    rng = np.random.default_rng(seed)

    def fill(path, x):
        name = path[-1].key
        if "kernel" in name:
            return np.float32(rng.normal(0, (2 / np.prod(x.shape[:3])) ** 0.5, x.shape))
        if name.startswith("log_"):
            return np.float32(rng.normal(0, 1, x.shape))
        value = rng.normal(float(name in ("scale", "var")), 0.1, x.shape)
        return np.float32(np.abs(value) + 0.1 if name == "var" else value)

    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, **arguments))
    return jax.tree_util.tree_map_with_path(fill, shapes)
