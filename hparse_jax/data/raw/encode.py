"""A sample -> the record of a built dataset, checked: photo as it is, leaf ids as PNG."""

import io
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from jaxtyping import Int64

from hparse_jax.data.raw.labels import what_is_wrong
from hparse_jax.data.raw.source import Labels, Sample, Source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE

_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 turn a photo by a quarter


class Encoded(NamedTuple):
    """image: the photo's file. label: PNG. size: (h, w). pixels: how many of each id."""

    id: str
    image: bytes
    label: bytes
    size: tuple[int, int]
    pixels: Int64[np.ndarray, " 256"]


def features() -> tfds.features.FeaturesDict:
    """{"id": text, "image": JPEG or PNG bytes, "label": PNG bytes, value = leaf id}."""
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        }
    )


def encode(source: Source, sample: Sample) -> Encoded:
    """Reads and checks one sample. A photo without labels gets 255 (ignore) everywhere.

    Labels belong to the pixels as they are stored: an EXIF orientation turns neither. Raises
    InputError naming the file and what is wrong with it, and LeftOut.
    """
    image = source.read_image(sample)
    size, turned = _check_photo(image, source.place(sample, sample.image))
    if sample.label is None:
        labels = Labels(np.full(size, IGNORE, np.uint8))
    else:
        labels = source.read_labels(sample)
        _check_labels(labels, source, sample, size, turned)
    png = labels.png
    if png is None or not np.array_equal(_seen(png, cv2.IMREAD_UNCHANGED), labels.ids):
        png = cv2.imencode(".png", labels.ids)[1].tobytes()
    pixels = np.bincount(labels.ids.ravel(), minlength=256)
    return Encoded(sample.id, image, png, size, pixels)


def _check_photo(data: bytes, where: str) -> tuple[tuple[int, int], bool]:
    """(height, width) as stored, and whether an EXIF tag turns the photo by a quarter."""
    try:
        # Pillow refuses what OpenCV fills with grey: a JPEG cut short.
        with PIL.Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]) as picture:
            picture.load()
            turned = picture.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
            size = picture.size[::-1]
        seen = _seen(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if seen is None or seen.shape[:2] != size:
            raise ValueError("OpenCV, which training reads it with, cannot")
    except Exception as error:  # Pillow answers a broken file with errors of many types
        raise InputError(
            f"{where}: not a whole JPEG or PNG ({what_is_wrong(data, error)}); get the photo again"
        ) from error
    return size, turned


def _seen(data: bytes, flags: int) -> np.ndarray | None:
    """A file as training will read it."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def _check_labels(
    labels: Labels, source: Source, sample: Sample, size: tuple[int, int], turned: bool
) -> None:
    shape, where = labels.ids.shape, source.place(sample, sample.label)
    if shape != size:
        remedy = "a label has the size of its photo"
        if turned and shape == size[::-1]:
            remedy = (
                "the photo has an EXIF tag that turns it: labels belong to the pixels as stored, "
                "so turn the label back, or save the photo upright without the tag"
            )
        raise InputError(
            f"{where}: {shape[0]} x {shape[1]} labels (height x width) for the "
            f"{size[0]} x {size[1]} pixels of {source.place(sample, sample.image)}; {remedy}"
        )
    hierarchy = source.hierarchy
    wrong = hierarchy.unknown_ids()[labels.ids]
    if wrong.any():
        unknown = np.unique(labels.ids[wrong])
        last = len(hierarchy.levels[0].nodes) - 1
        raise InputError(
            f"{where}: label id {', '.join(map(str, unknown[:5]))} is not in hierarchy "
            f"{hierarchy.name} (0..{last} and {IGNORE}); correct the label or the hierarchy"
        )
