"""Synthetic people as a dataset: nothing to download, the same on every machine.

Person i of the training split is `draw(0, i)`, of the validation split `draw(1, i)`.
"""

import functools
import pathlib

import cv2

from hparse_jax.data.raw.source import Labels, Layout, Sample, Source
from hparse_jax.data.synthetic.people import draw
from hparse_jax.hierarchy import get_hierarchy

PHOTOS = {"train": 2000, "val": 200}
_JPEG_QUALITY = 95


def find(manual_dir: pathlib.Path | None = None) -> Source:
    """The people of both splits, as samples."""
    samples = [
        Sample(f"{split}_{i:05d}", image=f"{seed} {i}", label=f"{seed} {i}", split=split)
        for seed, (split, photos) in enumerate(PHOTOS.items())
        for i in range(photos)
    ]
    return Source(
        get_hierarchy("synthetic"),
        samples,
        read_image=_jpeg,
        read_labels=lambda sample: Labels(_person(sample.label)[1]),
        place=lambda _, name: f"synthetic person {name}",
    )


# The picture and the labels of a sample are asked for one after the other, in the same thread.
@functools.lru_cache(maxsize=256)
def _person(seed_and_index: str):
    return draw(*map(int, seed_and_index.split()))


def _jpeg(sample: Sample) -> bytes:
    bgr = cv2.cvtColor(_person(sample.image)[0], cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


LAYOUT = Layout(find, "")
