"""Joints as centres of label regions, and the error between two parsings' joints (LIP section 4).

A hierarchy's joints name regions by their leaf ids; no joint annotations are needed. Where a
dataset does not distinguish left from right, or several people, a joint is the centre of all of
them. Coordinates are pixels of the labels' grid; the paper uses 1/8 of the photo's resolution.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy

_SCALE = 0.05  # of the error in the released code
CONSTANTS = ("paper", "released")


def require_joints(hierarchy: Hierarchy, otherwise: str = "take one that does") -> None:
    """Raises InputError for a hierarchy without joints. otherwise: the alternative remedy."""
    if not hierarchy.joints:
        raise InputError(
            f"hierarchy {hierarchy.name} defines no joints; add them to its file, or {otherwise}"
        )


def joint_centres(
    labels: UInt8[Array | np.ndarray, "b h w"], hierarchy: Hierarchy
) -> tuple[Int[Array, "b joints 2"], Bool[Array, "b joints"]]:
    """((x, y) of every joint, whether it is present): the region's mean position, truncated.

    A joint without a pixel has centre (0, 0). Raises InputError for a hierarchy without joints and
    for maps of more than about 1600 x 1600.
    """
    require_joints(hierarchy)
    labels = jnp.asarray(labels)
    height, width = labels.shape[1:]
    # positions are summed as 32-bit integers, so that truncation is exact
    if height * width * max(height, width) >= 2**32:
        raise InputError(
            f"labels of {height} x {width}: too large to sum positions; take every n-th pixel"
        )
    regions = jnp.stack([jnp.isin(labels, np.array(ids)) for _, ids in hierarchy.joints], 1)
    columns, rows = regions.sum(2, dtype=jnp.int32), regions.sum(3, dtype=jnp.int32)
    pixels = rows.sum(2)
    sums = [(columns * jnp.arange(width)).sum(2), (rows * jnp.arange(height)).sum(2)]
    return jnp.stack(sums, -1) // jnp.maximum(pixels, 1)[..., None], pixels > 0


def joint_heatmaps(
    labels: UInt8[Array | np.ndarray, "b h w"], hierarchy: Hierarchy, sigma: float = 1.0
) -> Float[Array, "b joints h w"]:
    """For every joint exp(-d^2 / (2 sigma^2)) * 4 / (sigma sqrt(2 pi)), d the distance to it.

    The released constants; sigma in pixels. A missing joint has an all-zero map. Raises InputError
    for a hierarchy without joints.
    """
    centres, present = joint_centres(labels, hierarchy)
    height, width = labels.shape[1:]
    peak = 4.0 / (sigma * math.sqrt(2.0 * math.pi))

    # exp(-(dx^2 + dy^2) ...) is a product of a row and a column
    def bell(positions, centre):
        distance = (jnp.arange(positions) - centre[..., None]).astype(jnp.float32)
        return jnp.exp(-(distance**2) / (2.0 * sigma**2))

    columns = bell(width, centres[..., 0]) * (peak * present)[..., None]
    return bell(height, centres[..., 1])[..., :, None] * columns[..., None, :]


def structure_error(
    predicted: UInt8[Array | np.ndarray, "b h w"],
    labels: UInt8[Array | np.ndarray, "b h w"],
    hierarchy: Hierarchy,
    constants: str = "paper",
) -> Float[Array, " b"]:
    """L_joint of every image (LIP Eq. 1): the error of the predicted joints' heat maps.

    The sum over joints and pixels of the heat maps' squared differences, times 1 / (2 N) with N the
    image's ground-truth joints ("paper"; N is 1 where there are none), or times 0.05 * 0.5 as in
    the released code ("released"): with all of LIP's nine joints half, with one joint a twentieth
    of the paper's. Raises InputError for a hierarchy without joints and for other
    constants.
    """
    if constants not in CONSTANTS:
        raise InputError(f"constants={constants!r}: must be one of {', '.join(CONSTANTS)}")
    difference = joint_heatmaps(predicted, hierarchy) - joint_heatmaps(labels, hierarchy)
    squares = (difference**2).sum((1, 2, 3))
    if constants == "released":
        return _SCALE * 0.5 * squares
    joints = joint_centres(labels, hierarchy)[1].sum(1)
    return squares / (2.0 * jnp.maximum(joints, 1))
