"""Photographs of mixed sizes in batches of a few sizes, so that few programs serve all of them.

Compiled programs have fixed shapes. A photograph is placed in the top-left corner of a bucket,
one of a few fixed sizes; its own size travels with it as a number.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Int32, UInt8

Size = tuple[int, int]  # height, width in pixels

_PENDING_BATCHES = 8  # as many batches may be pending before the oldest is emitted incomplete


@dataclasses.dataclass(frozen=True)
class Batch:
    """Photographs in one bucket, their label maps wanted in another (mostly the same) one.

    images: the photograph in the top left corner, the mean colour elsewhere. sizes: its height and
    width in pixels. output_sizes: height and width of the label maps wanted; they lie in the top
    left corner of `output_bucket` (height, width). items: what came with each photograph; the
    entries of the batch beyond them only fill it up.
    """

    images: UInt8[np.ndarray, "b h w 3"]
    sizes: Int32[np.ndarray, "b 2"]
    output_sizes: Int32[np.ndarray, "b 2"]
    output_bucket: tuple[int, int]
    items: list


def bucket_size(height: int, width: int) -> tuple[int, int]:
    """The bucket of a photograph: each side rounded up to 97, 129, 193, 257, 385, 513, 769, ...

    Sides are 16 k + 1, so that the corners of the network's output grid (one point every 8 or 16
    pixels) fall on the corners of the bucket; steps of half an octave waste at most half a side.
    """
    return _rung(height), _rung(width)


def _rung(side: int) -> int:
    """97 = 3 * 32 + 1, 129 = 4 * 32 + 1, then each twice as long, and so on."""
    unit = 32
    while 4 * unit + 1 < side:
        unit *= 2
    return 3 * unit + 1 if side <= 3 * unit + 1 else 4 * unit + 1


def tight_buckets(shown: Size, output: Size) -> tuple[Size, Size]:
    """The buckets of a photograph and of its label maps: for each the smallest that holds it."""
    return bucket_size(*shown), bucket_size(*output)


def few_buckets(shown: Size, output: Size) -> tuple[Size, Size]:
    """The same out of a small set, for a service that compiles all its programs in advance.

    A bucket is a square of 257, 513, 1025, 1537, ... pixels, or three quarters of it, upright or
    lying, when the photograph and its label maps are as narrow as that; both have the same shape.
    """
    short_rows = all(4 * height <= 3 * width for height, width in (shown, output))
    short_columns = all(4 * width <= 3 * height for height, width in (shown, output))

    def bucket(size: Size) -> Size:
        side = next((s for s in (257, 513, 1025) if max(size) <= s), None) or _rung(max(size))
        short = (side - 1) // 4 * 3 + 1
        return (short if short_rows else side), (short if short_columns else side)

    return bucket(shown), bucket(output)


def group_by_bucket(
    photos: Iterable[tuple[object, UInt8[np.ndarray, "_ _ 3"], Size]],
    batch_size: int,
    mean: tuple[float, float, float],
    buckets_of: Callable[[Size, Size], tuple[Size, Size]] = tight_buckets,
) -> Iterator[Batch]:
    """Collects (item, image, size of the label maps wanted) into batches of one bucket each.

    The buckets depend on the two sizes only. A batch goes out when it is full; what is left at the
    end, or has waited longest while eight batches of photographs wait, goes out part full. mean:
    RGB 0-255, rounded. buckets_of: `tight_buckets` or `few_buckets`.
    """
    waiting: dict[tuple, list] = {}  # oldest first
    for photo in photos:
        buckets = buckets_of(photo[1].shape[:2], photo[2])
        group = waiting.setdefault(buckets, [])
        group.append(photo)
        if len(group) == batch_size:
            yield _lay_out(waiting.pop(buckets), buckets, batch_size, mean)
        elif sum(map(len, waiting.values())) > _PENDING_BATCHES * batch_size:
            buckets = next(iter(waiting))
            yield _lay_out(waiting.pop(buckets), buckets, batch_size, mean)
    for buckets, group in waiting.items():
        yield _lay_out(group, buckets, batch_size, mean)


def _lay_out(group: list, buckets: tuple, batch_size: int, mean: tuple) -> Batch:
    bucket, output_bucket = buckets
    images = np.empty((batch_size, *bucket, 3), np.uint8)
    images[:] = np.round(mean).astype(np.uint8)
    # an entry without a photograph has the size of its bucket
    sizes, output_sizes = (np.tile(np.int32(b), (batch_size, 1)) for b in buckets)
    for i, (_, image, output_size) in enumerate(group):
        height, width = sizes[i] = image.shape[:2]
        images[i, :height, :width] = image
        output_sizes[i] = output_size
    return Batch(images, sizes, output_sizes, output_bucket, [item for item, *_ in group])
