"""Label maps of photographs from logits averaged over scales and mirrored copies.

The network sees a photo at several scales, each also mirrored; the logits of every view are
brought back to the photo's own pixel grid, mirrored maps turned back with the left and right
channels swapped, and averaged (CNIF section 4.1, "Testing").

All resizing is bilinear with aligned corners, as two small matrices a photo: A_h @ x @ A_w^T. The
matrices are computed on the device from the photo's size, so photos of every size that share a
canvas share one compiled program. Mirroring is the same matrix with its positions reversed inside
the photo's own width.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, UInt8

from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.models.build import levels_of
from hparse_jax.models.layers import normalise
from hparse_jax.sharding import batch_sharding, data_mesh, replicated

_ROWS = 64  # label maps are made in strips of this many rows: no float map of the whole canvas
_OUTSIDE = -2.0  # a position without a neighbour on any grid: its matrix row is zero


class View(NamedTuple):
    """One way to show a photo to the network."""

    scale: float
    mirrored: bool


class Scores(NamedTuple):
    """What a batch of photos gives; levels are ordered finest first.

    labels: for each level uint8 [b, H, W] on the canvas, 0 outside the photos.
    logits: for each level and view the fused logits float32 [b, h', w', nodes], as the network
    made them. gates: for each level source -> [b, nodes], of the unmirrored view nearest scale 1.
    """

    labels: tuple[UInt8[Array, "b H W"], ...]
    logits: tuple[tuple[Float[Array, "b h w n"], ...], ...]
    gates: tuple[dict[str, Float[Array, "b n"]], ...]


class Scorer:
    """Scores batches of photos with a model on the devices of this process.

    model, config, hierarchy: the run's; `self.hierarchy` holds the levels that the model has.
    scales: of the photo, 1.0 is its own size; flip: every scale also mirrored.
    """

    def __init__(
        self,
        model: nn.Module,
        config: Config,
        hierarchy: Hierarchy,
        scales: tuple[float, ...] = (1.0,),
        flip: bool = False,
    ):
        self.hierarchy = levels_of(config.model, hierarchy)
        self._model = model
        self._colours = (tuple(config.mean), tuple(config.std), config.channels)
        self._views = tuple(
            View(s, m) for s in scales for m in ((False, True) if flip else (False,))
        )
        self._gates_of = self._views.index(View(min(scales, key=lambda s: abs(s - 1)), False))
        levels = range(len(self.hierarchy.levels))
        self._swaps = tuple(self.hierarchy.flip_permutation(level) for level in levels)
        self._mesh = data_mesh(jax.local_devices())

    def batch_size(self, wanted: int) -> int:
        """`wanted` rounded up to a multiple of the number of devices."""
        return -(-wanted // self._mesh.size) * self._mesh.size

    def place(self, variables: dict) -> dict:
        """The variables on every device of this process."""
        return jax.device_put(jax.device_get(variables), replicated(self._mesh))

    def __call__(
        self,
        variables: dict,
        images: UInt8[np.ndarray, "b H W 3"],
        sizes: Int[np.ndarray, "b 2"],
    ) -> Scores:
        """Scores photos that lie top-left in canvases with sides 16 k + 1.

        sizes: height and width of each photo in pixels. b must be a multiple of the number of
        devices (see `batch_size`). The colours outside the photos have no influence; how much
        of the canvas they take has some, for the network averages over all of it.
        """
        images, sizes = jax.device_put(
            (images, np.asarray(sizes, np.int32)), batch_sharding(self._mesh)
        )
        outputs = []
        for view in self._views:
            shown = _show(images, sizes, view=view, colours=self._colours)
            outputs.append(network(self._model, variables, shown))
        logits = tuple(zip(*(fused for fused, _ in outputs), strict=True))
        labels = _label_maps(
            logits, sizes, canvas=images.shape[1:3], views=self._views, swaps=self._swaps
        )
        return Scores(labels, logits, outputs[self._gates_of][1])

    def mean_logits(
        self, scores: Scores, level: int, index: int, size: tuple[int, int]
    ) -> Float[np.ndarray, "h w n"]:
        """The averaged logits of photo `index` of a scored batch, at its own size (h, w)."""
        canvas = scores.labels[level].shape[1:3]
        logits = tuple(x[index : index + 1] for x in scores.logits[level])
        sizes = np.array([size], np.int32)
        mean = _mean_logits(
            logits, sizes, canvas=canvas, views=self._views, swap=self._swaps[level]
        )
        return np.asarray(mean)[0, : size[0], : size[1]]  # on the host: no program per size


@functools.partial(jax.jit, static_argnums=0)
def network(model: nn.Module, variables: dict, images: Float[Array, "b H W 3"]) -> tuple:
    """(fused logits of each level, gates of each level) of normalised images."""
    output = model.apply(variables, images, train=False)
    return tuple(level.fused for level in output.levels), tuple(
        dict(level.gates) for level in output.levels
    )


@functools.partial(jax.jit, static_argnames=("view", "colours"))
def _show(
    images: UInt8[Array, "b H W 3"], sizes: Int[Array, "b 2"], *, view: View, colours: tuple
) -> Float[Array, "b N M 3"]:
    """The photos as the network sees them in this view: normalised, 0 (mean colour) outside."""
    x = normalise(images, *colours)
    height, width = images.shape[1:3]
    if view == View(1.0, False):
        inside = [jnp.arange(n) < sizes[:, i, None] for i, n in enumerate((height, width))]
        return x * (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
    rows = _photo_positions(sizes[:, 0], height, view._replace(mirrored=False))
    columns = _photo_positions(sizes[:, 1], width, view)
    return _resample(x, rows, columns)


@functools.partial(jax.jit, static_argnames=("canvas", "views", "swaps"))
def _label_maps(logits: tuple, sizes: Int[Array, "b 2"], *, canvas, views, swaps) -> tuple:
    """For each level the best node of every canvas pixel, uint8 [b, H, W]."""
    height, width = canvas

    def strip(first_row):
        rows = first_row + jnp.arange(_ROWS)
        return tuple(
            jnp.argmax(_average(maps, sizes, rows, canvas, views, swap), -1).astype(jnp.uint8)
            for maps, swap in zip(logits, swaps, strict=True)
        )

    strips = jax.lax.map(strip, jnp.arange(0, height, _ROWS))
    return tuple(jnp.moveaxis(s, 0, 1).reshape(s.shape[1], -1, width)[:, :height] for s in strips)


@functools.partial(jax.jit, static_argnames=("canvas", "views", "swap"))
def _mean_logits(logits: tuple, sizes: Int[Array, "b 2"], *, canvas, views, swap) -> Array:
    return _average(logits, sizes, jnp.arange(canvas[0]), canvas, views, swap)


def _average(
    maps: tuple, sizes: Int[Array, "b 2"], rows: Int[Array, " r"], canvas, views, swap
) -> Float[Array, "b r W n"]:
    """Mean over the views of one level's logits at these rows of the canvas; 0 outside photos."""
    total = 0.0
    for x, view in zip(maps, views, strict=True):
        if view.mirrored:
            x = x[..., np.array(swap)]
        upright = view._replace(mirrored=False)
        row_positions = _grid_positions(rows, sizes[:, 0], canvas[0], x.shape[1], upright)
        columns = jnp.arange(canvas[1])
        column_positions = _grid_positions(columns, sizes[:, 1], canvas[1], x.shape[2], view)
        total = total + _resample(x.astype(jnp.float32), row_positions, column_positions)
    return total / len(views)


def scaled_side(side: int, scale: float) -> int:
    """The side of the canvas, 16 k + 1, that holds a canvas of this side at a scale."""
    return 16 * -(-(int(side * scale + 0.5) - 1) // 16) + 1


def _scaled_extent(extents: Int[Array, " b"], side: int, scale: float) -> Int[Array, " b"]:
    rounded = jnp.floor(extents * scale + 0.5).astype(jnp.int32)
    return jnp.clip(rounded, 1, scaled_side(side, scale))


def _photo_positions(extents: Int[Array, " b"], side: int, view: View) -> Float[Array, "b N"]:
    """Where each pixel of the view's canvas lies in the photo, along one axis."""
    scaled = _scaled_extent(extents, side, view.scale)[:, None]
    last = extents[:, None] - 1
    pixels = jnp.arange(scaled_side(side, view.scale))
    # the ratio first: at scale 1 the positions are then exact integers
    positions = pixels * (last / jnp.maximum(scaled - 1, 1))
    positions = jnp.minimum(positions, last)
    return jnp.where(pixels < scaled, last - positions if view.mirrored else positions, _OUTSIDE)


def _grid_positions(
    pixels: Int[Array, " r"], extents: Int[Array, " b"], side: int, grid: int, view: View
) -> Float[Array, "b r"]:
    """Where each of these photo pixels lies on the network's grid, along one axis.

    The first and the last point of the grid are the first and the last pixel of the view's canvas.
    """
    scaled = _scaled_extent(extents, side, view.scale)[:, None]
    last = extents[:, None] - 1
    inside = pixels <= last
    pixels = last - pixels if view.mirrored else pixels
    step = (grid - 1) / max(scaled_side(side, view.scale) - 1, 1)
    return jnp.where(inside, pixels * ((scaled - 1) / jnp.maximum(last, 1)) * step, _OUTSIDE)


def _resample(
    x: Float[Array, "b h w c"], rows: Float[Array, "b H"], columns: Float[Array, "b W"]
) -> Float[Array, "b H W c"]:
    """Bilinear values of x at these positions: A_h @ x @ A_w^T for each image of the batch."""
    a_h, a_w = _hat_matrix(rows, x.shape[1]), _hat_matrix(columns, x.shape[2])
    # full precision: on a GPU or TPU the default would round pixels and logits to 10 or 8 bits
    x = jnp.einsum("bHh,bhwc->bHwc", a_h, x, precision="highest")
    return jnp.einsum("bWw,bHwc->bHWc", a_w, x, precision="highest")


def _hat_matrix(positions: Float[Array, "b n"], grid: int) -> Float[Array, "b n m"]:
    """Row i holds the two bilinear weights of position i; zero for positions off the grid."""
    return jnp.maximum(0.0, 1.0 - jnp.abs(positions[..., None] - jnp.arange(grid)))


def parse_scales(texts: list[str] | None) -> tuple[float, ...] | None:
    """The value of the flag `--scales`; None when it was not given. Raises InputError."""
    if texts is None:
        return None
    try:
        scales = tuple(float(text) for text in texts)
    except ValueError:
        scales = ()
    if not scales or not all(0.1 <= scale <= 10 for scale in scales):
        raise InputError(f"--scales={','.join(texts)}: give numbers in 0.1..10, e.g. 0.75,1,1.25")
    return scales
