"""Batch norm folded into the convolutions before it, as a function of the variables alone."""

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from hparse_jax.models.layers import EPSILON

# The variables of a module that are added up before a norm of it: all of them are scaled.
_BEFORE = {
    "norm": ("kernel", "bias"),
    "norm1": ("embedding_kernel", "message_kernel"),
    "norm2": ("hidden_kernel",),
}


def fold_batch_norm(variables: dict) -> dict:
    """The variables {"params", "batch_stats"} of a network that computes the same in inference,
    whose norms only add a bias: their scale is 1, their mean 0 and their variance 1 - 1e-5.

    Every slope, scale / sqrt(var + 1e-5), is in the kernels before its norm. The modules stay as
    they are; a compiler that knows the variables drops the multiplication by 1. Arrays of NumPy.
    """
    flat = {path: np.asarray(x) for path, x in flatten_dict(variables).items()}
    for path in [p for p in flat if p[0] == "batch_stats" and p[-1] == "var"]:
        *module, norm = path[1:-1]
        scale, bias = (("params", *path[1:-1], name) for name in ("scale", "bias"))
        mean = (*path[:-1], "mean")
        slope = flat[scale] / np.sqrt(flat[path].astype(np.float64) + EPSILON)
        flat[bias] = np.float32(flat[bias] - flat[mean] * slope)
        flat[scale], flat[mean] = np.ones_like(flat[scale]), np.zeros_like(flat[mean])
        flat[path] = np.full_like(flat[path], 1 - EPSILON)
        for name in _BEFORE[norm]:
            if (before := ("params", *module, name)) in flat:
                x = flat[before]
                # kernels of nodes are [k, k, i, nodes, o], the channels of their norm nodes * o
                flat[before] = np.float32(x * slope.reshape(x.shape[3:] if x.ndim == 5 else -1))
    return {"batch_stats": {}, **unflatten_dict(flat)}
