"""Photos of mixed sizes on a few canvas sizes, so that few programs serve all of them.

Compiled programs have fixed shapes. A photo lies in the top left corner of a canvas from a short
ladder of sizes; its own size travels with it as a number.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from hparse_jax.hierarchy import IGNORE

_PENDING_BATCHES = 8  # as many batches may wait for companions before the oldest goes out part full


@dataclasses.dataclass(frozen=True)
class CanvasBatch:
    """Photos on canvases of one size.

    images: the photo in the top left corner, the mean colour elsewhere. labels: leaf ids, 255
    outside the photo; None for photos without labels. sizes: (height, width) of each photo in
    pixels. valid: False for the entries that only fill up the batch; their size is the canvas's.
    """

    images: UInt8[np.ndarray, "b h w 3"]
    labels: UInt8[np.ndarray, "b h w"] | None
    sizes: Int32[np.ndarray, "b 2"]
    valid: Bool[np.ndarray, " b"]
    ids: list[str]


def canvas_size(height: int, width: int) -> tuple[int, int]:
    """The canvas of a photo: each side rounded up to 97, 129, 193, 257, 385, 513, 769, ...

    Sides are 16 k + 1, so that the corners of the network's output grid (one point every 8 or 16
    pixels) fall on the corners of the canvas; steps of half an octave waste at most half a side.
    """
    return _rung(height), _rung(width)


def _rung(side: int) -> int:
    """97 = 3 * 32 + 1, 129 = 4 * 32 + 1, then each twice as long, and so on."""
    unit = 32
    while 4 * unit + 1 < side:
        unit *= 2
    return 3 * unit + 1 if side <= 3 * unit + 1 else 4 * unit + 1


def group_by_canvas(
    items: Iterable[tuple[str, UInt8[np.ndarray, "_ _ 3"], UInt8[np.ndarray, "_ _"] | None]],
    batch_size: int,
    mean: tuple[float, float, float],
) -> Iterator[CanvasBatch]:
    """Collects (id, image, labels) into batches of one canvas size each.

    A photo's canvas depends on its own size only. A batch goes out when it is full; what is left
    at the end, or has waited longest while eight batches of photos wait, goes out filled up with
    invalid entries. Either all items have labels or none. mean: RGB 0-255, rounded.
    """
    waiting: dict[tuple[int, int], list] = {}  # oldest first
    for item in items:
        canvas = canvas_size(*item[1].shape[:2])
        group = waiting.setdefault(canvas, [])
        group.append(item)
        if len(group) == batch_size:
            yield _lay_out(waiting.pop(canvas), canvas, batch_size, mean)
        elif sum(map(len, waiting.values())) > _PENDING_BATCHES * batch_size:
            canvas = next(iter(waiting))
            yield _lay_out(waiting.pop(canvas), canvas, batch_size, mean)
    for canvas, group in waiting.items():
        yield _lay_out(group, canvas, batch_size, mean)


def _lay_out(group: list, canvas: tuple[int, int], batch_size: int, mean) -> CanvasBatch:
    images = np.empty((batch_size, *canvas, 3), np.uint8)
    images[:] = np.round(mean).astype(np.uint8)
    labelled = group[0][2] is not None
    labels = np.full((batch_size, *canvas), IGNORE, np.uint8) if labelled else None
    sizes = np.tile(np.array(canvas, np.int32), (batch_size, 1))
    for i, (_, image, label) in enumerate(group):
        height, width = sizes[i] = image.shape[:2]
        images[i, :height, :width] = image
        if labelled:
            labels[i, :height, :width] = label
    return CanvasBatch(
        images, labels, sizes, np.arange(batch_size) < len(group), [item[0] for item in group]
    )
