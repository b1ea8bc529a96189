"""Label maps of photographs from logits averaged over scales and mirrored copies.

The network sees a photo at several scales, each also mirrored; the logits of every view are
brought back to one pixel grid, mirrored maps flipped back with the left and right channels swapped,
and averaged (CNIF section 4.1, "Testing").

All resizing is bilinear with aligned corners, as two small matrices a photo: A_h @ x @ A_w^T. The
matrices are computed on the device from the photo's size, so photos of every size that share a
bucket share one compiled program. Mirroring is the same matrix with its positions reversed inside
the photo's own width.
"""

import copy
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Int32, UInt8

from hparse_jax.config import Config
from hparse_jax.data.buckets import Batch
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.ops import hat_matrix, normalise
from hparse_jax.sharding import batch_sharding, data_mesh, replicated

_ROWS = 64  # label maps are made in strips of this many rows: no float map of the whole bucket
_OUTSIDE = -2.0  # a position without a neighbour on any grid: its matrix row is zero


class View(NamedTuple):
    """One way to show a photo to the network."""

    scale: float
    mirrored: bool


class Prediction(NamedTuple):
    """What the network says of a batch; levels are ordered finest first.

    labels: for each level uint8 [b, H, W] in the output bucket, 0 outside the photos.
    logits: for each level and view the fused logits float32 [b, h', w', nodes], as the network
    made them. gates: for each level source -> [b, nodes], of the unmirrored view nearest scale 1.
    sizes, output_sizes: (height, width) of the photos as shown and of their label maps; bucket,
    output_bucket: those of the batch.
    """

    labels: tuple[UInt8[Array, "b H W"], ...]
    logits: tuple[tuple[Float[Array, "b h w n"], ...], ...]
    gates: tuple[dict[str, Float[Array, "b n"]], ...]
    sizes: Int32[np.ndarray, "b 2"]
    output_sizes: Int32[np.ndarray, "b 2"]
    bucket: tuple[int, int]
    output_bucket: tuple[int, int]


class MultiScalePredictor:
    """Batches of photos -> label maps, on the devices of this process.

    model, variables, config, hierarchy: of the run, hierarchy with the levels that the model
    predicts. scales: of the photo, 1.0 is its own size; flip: every scale also mirrored.
    consistent: label maps of the most probable path of the tree instead of each level's own best
    node (see `consistent_labels`). engine, precision: as `choose` returns them; engines but JAX
    compute the network on the CPU, and precision is theirs alone.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: dict,
        config: Config,
        hierarchy: Hierarchy,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
        consistent: bool = False,
        engine: str = "jax",
        precision: str = "float32",
    ):
        self._mesh = data_mesh(jax.local_devices())
        if engine == "jax":
            variables = jax.device_put(jax.device_get(variables), replicated(self._mesh))
            self._network = functools.partial(_logits_and_gates, model, variables)
        else:
            from hparse_jax.engines.onnx_network import OnnxNetwork  # here: onnx is an extra

            function = functools.partial(_logits_and_gates, model)
            self._network = OnnxNetwork(function, variables, engine, precision, len(scales))
        self._input = (tuple(config.mean), tuple(config.std), config.channels)
        self._views = tuple(
            View(s, m) for s in scales for m in ((False, True) if flip else (False,))
        )
        self._gates_of = self._views.index(View(min(scales, key=lambda s: abs(s - 1)), False))
        levels = range(len(hierarchy.levels))
        self._swaps = tuple(hierarchy.flip_permutation(level) for level in levels)
        self._tree = tuple(level.parents for level in hierarchy.levels[:-1])
        self._parents = self._tree if consistent else None

    def consistently(self, consistent: bool) -> "MultiScalePredictor":
        """The same with `consistent` set so; the network is shared."""
        other = copy.copy(self)
        other._parents = self._tree if consistent else None
        return other

    def padded_batch_size(self, wanted: int) -> int:
        """`wanted` rounded up to a multiple of the number of devices."""
        return -(-wanted // self._mesh.size) * self._mesh.size

    def __call__(self, batch: Batch) -> Prediction:
        """Parses a batch, whose length must be a multiple of the number of devices.

        In JAX it returns before the device is done. Neither the colours outside the photos nor the
        size of the bucket have an influence, the latter if the network's layers leave out padding,
        as CNIF's do.
        """
        images, sizes, output_sizes = jax.device_put(
            (batch.images, batch.sizes, batch.output_sizes), batch_sharding(self._mesh)
        )
        outputs = []
        for view in self._views:
            shown, inside = _show(images, sizes, view=view, preprocessing=self._input)
            outputs.append(self._network(shown, inside))
        logits = tuple(zip(*(fused for fused, _ in outputs), strict=True))
        buckets = {"bucket": images.shape[1:3], "output_bucket": batch.output_bucket}
        labels = _label_maps(
            logits,
            sizes,
            output_sizes,
            **buckets,
            views=self._views,
            swaps=self._swaps,
            parents=self._parents,
        )
        gates = outputs[self._gates_of][1]
        return Prediction(labels, logits, gates, batch.sizes, batch.output_sizes, **buckets)

    def mean_logits(
        self, prediction: Prediction, index: int, level: int
    ) -> Float[np.ndarray, "h w n"]:
        """The averaged logits of photo `index` of a batch, at the size of its label maps."""
        rows, width = np.arange(prediction.output_bucket[0]), prediction.output_bucket[1]
        mean = _mean_logits(
            tuple(x[index : index + 1] for x in prediction.logits[level]),
            prediction.sizes[index : index + 1],
            prediction.output_sizes[index : index + 1],
            rows,
            prediction.bucket,
            width,
            self._views,
            self._swaps[level],
        )
        height, width = prediction.output_sizes[index]
        return np.asarray(mean)[0, :height, :width]  # on the host: no program per size


def parse_canvas(
    model: nn.Module,
    variables: dict,
    images: UInt8[Array, "b H W 3"],
    sizes: Int[Array, "b 2"],
    preprocessing: tuple,
) -> tuple[tuple[UInt8[Array, "b H W"], ...], tuple[Float[Array, "b h w n"], ...]]:
    """(label maps, fused logits) of each level as one function: what scale 1 without flip gives.

    images: photos in the top left corner, anything beyond; H and W are 16 k + 1. sizes: their
    height and width. preprocessing: mean, std and channels of the config. Every level's own best
    node. To be traced for an export.
    """
    view, size = View(1.0, False), images.shape[1:3]
    shown, inside = _show(images, sizes, view=view, preprocessing=preprocessing)
    logits, _ = _logits_and_gates(model, variables, shown, inside)
    labels = _label_maps(
        tuple((x,) for x in logits),
        sizes,
        sizes,
        bucket=size,
        output_bucket=size,
        views=(view,),
        swaps=((),) * len(logits),
        parents=None,
    )
    return labels, logits


@functools.partial(jax.jit, static_argnums=0)
def _logits_and_gates(
    model: nn.Module,
    variables: dict,
    images: Float[Array, "b H W 3"],
    inside: Bool[Array, "b H W"],
) -> tuple:
    """(fused logits of each level, gates of each level) of normalised images."""
    output = model.apply(variables, images, train=False, inside=inside)
    return tuple(level.fused for level in output.levels), tuple(
        dict(level.gates) for level in output.levels
    )


@functools.partial(jax.jit, static_argnames=("view", "preprocessing"))
def _show(
    images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], *, view: View, preprocessing: tuple
) -> tuple[Float[Array, "b N M 3"], Bool[Array, "b N M"]]:
    """The photos as the network sees them in this view, normalised, 0 (mean colour) outside, and
    which pixels are theirs."""
    x = normalise(images, *preprocessing)
    height, width = images.shape[1:3]
    rows = _photo_positions(sizes[:, 0], height, view._replace(mirrored=False))
    columns = _photo_positions(sizes[:, 1], width, view)
    inside = (rows != _OUTSIDE)[:, :, None] & (columns != _OUTSIDE)[:, None, :]
    if view == View(1.0, False):
        return x * inside[..., None], inside
    return _resample(x, rows, columns), inside


@functools.partial(
    jax.jit, static_argnames=("bucket", "output_bucket", "views", "swaps", "parents")
)
def _label_maps(
    logits: tuple,
    sizes: Int[Array, "b 2"],
    output_sizes: Int[Array, "b 2"],
    *,
    bucket: tuple[int, int],
    output_bucket: tuple[int, int],
    views: tuple[View, ...],
    swaps: tuple,
    parents: tuple[tuple[int, ...], ...] | None,
) -> tuple:
    """For each level the node of every pixel of the output bucket, uint8 [b, H, W].

    parents: see `consistent_labels`; None: every level's own best node.
    """
    height, width = output_bucket

    def strip(first_row):
        rows = first_row + jnp.arange(_ROWS)
        means = [
            _average(maps, sizes, output_sizes, rows, bucket, width, views, swap)
            for maps, swap in zip(logits, swaps, strict=True)
        ]
        if parents is not None:
            return consistent_labels(parents, means)
        return tuple(jnp.argmax(x, -1).astype(jnp.uint8) for x in means)

    strips = jax.lax.map(strip, jnp.arange(0, height, _ROWS))
    return tuple(jnp.moveaxis(s, 0, 1).reshape(s.shape[1], -1, width)[:, :height] for s in strips)


def consistent_labels(
    parents: tuple[tuple[int, ...], ...], logits: list[Float[Array, "b r W _"]]
) -> tuple[UInt8[Array, "b r W"], ...]:
    """Labels of every level that never contradict each other, for a tree of any depth.

    Of all paths from the root level to a leaf each pixel takes the one with the largest sum of
    log-probabilities over the levels. logits: of every level, finest first. parents: for every
    level but the last the index of each node's parent in the next one.
    """
    of_paths = jax.nn.log_softmax(logits[-1])
    for up, x in zip(parents[::-1], logits[-2::-1], strict=True):
        of_paths = jax.nn.log_softmax(x) + of_paths[..., np.array(up)]
    labels = [jnp.argmax(of_paths, -1)]
    for up in parents:
        labels.append(jnp.array(up)[labels[-1]])
    return tuple(x.astype(jnp.uint8) for x in labels)


def _average(
    maps: tuple,
    sizes: Int[Array, "b 2"],
    output_sizes: Int[Array, "b 2"],
    rows: Int[Array, " r"],
    bucket: tuple[int, int],
    width: int,
    views: tuple[View, ...],
    swap: tuple[int, ...],
) -> Float[Array, "b r W n"]:
    """Mean over the views of one level's logits at these rows of the output, 0 outside photos."""
    pixels = rows, jnp.arange(width)
    total = 0.0
    for x, view in zip(maps, views, strict=True):
        if view.mirrored:
            x = x[..., np.array(swap)]
        along_rows, along_columns = (
            _grid_positions(
                pixels[axis],
                sizes[:, axis],
                output_sizes[:, axis],
                bucket[axis],
                x.shape[1 + axis],
                view._replace(mirrored=view.mirrored and axis == 1),
            )
            for axis in (0, 1)
        )
        total = total + _resample(x.astype(jnp.float32), along_rows, along_columns)
    return total / len(views)


_mean_logits = jax.jit(_average, static_argnums=(4, 5, 6, 7))


def view_side(side: int, scale: float) -> int:
    """The side of a bucket, 16 k + 1, that holds a bucket of this side at a scale."""
    return 16 * -(-(int(side * scale + 0.5) - 1) // 16) + 1


def _view_extent(extents: Int[Array, " b"], side: int, scale: float) -> Int[Array, " b"]:
    rounded = jnp.floor(extents * scale + 0.5).astype(jnp.int32)
    return jnp.clip(rounded, 1, view_side(side, scale))


def _photo_positions(extents: Int[Array, " b"], side: int, view: View) -> Float[Array, "b N"]:
    """Where each pixel of the view's bucket lies in the photo, along one axis."""
    scaled = _view_extent(extents, side, view.scale)[:, None]
    last = extents[:, None] - 1
    pixels = jnp.arange(view_side(side, view.scale))
    # the ratio first: at scale 1 the positions are then exact integers
    positions = pixels * (last / jnp.maximum(scaled - 1, 1))
    positions = jnp.minimum(positions, last)
    return jnp.where(pixels < scaled, last - positions if view.mirrored else positions, _OUTSIDE)


def _grid_positions(
    pixels: Int[Array, " r"],
    extents: Int[Array, " b"],
    output_extents: Int[Array, " b"],
    side: int,
    grid: int,
    view: View,
) -> Float[Array, "b r"]:
    """Where each of these pixels of the label map lies on the network's grid, along one axis.

    The first and the last point of the grid are the first and the last pixel of the view's bucket,
    the first and the last pixel of the label map those of the photo.
    """
    scaled = _view_extent(extents, side, view.scale)[:, None]
    last = output_extents[:, None] - 1
    inside = pixels <= last
    pixels = last - pixels if view.mirrored else pixels
    step = (grid - 1) / max(view_side(side, view.scale) - 1, 1)
    return jnp.where(inside, pixels * ((scaled - 1) / jnp.maximum(last, 1)) * step, _OUTSIDE)


def _resample(
    x: Float[Array, "b h w c"], rows: Float[Array, "b H"], columns: Float[Array, "b W"]
) -> Float[Array, "b H W c"]:
    """Bilinear values of x at these positions: A_h @ x @ A_w^T for each image of the batch."""
    a_h, a_w = hat_matrix(rows, x.shape[1]), hat_matrix(columns, x.shape[2])
    # full precision: on a GPU or TPU the default would round pixels and logits to 10 or 8 bits
    x = jnp.einsum("bHh,bhwc->bHwc", a_h, x, precision="highest")
    return jnp.einsum("bWw,bHwc->bHWc", a_w, x, precision="highest")
