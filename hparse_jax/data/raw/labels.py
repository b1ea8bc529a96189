"""Label files -> leaf ids. A PNG is read by its stored values, never by the colours they show."""

import functools
import io

import numpy as np
import PIL.Image

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.source import Labels, Sample, Source, file_source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy

_SINGLE = ("1", "L", "P", "I;16", "I")  # Pillow's modes with one value a pixel


def read_png(files: Files, hierarchy: Hierarchy, sample: Sample) -> Labels:
    """The ids of a label PNG; an 8-bit grey one is kept as it is. Raises InputError."""
    data = files.read(sample.label)
    return png_labels(data, files.where(sample.label), hierarchy)


def png_source(files: Files, hierarchy: Hierarchy, samples: list[Sample], **more) -> Source:
    """The source of photos and label PNGs that are files; more: further fields of `Source`."""
    read_labels = functools.partial(read_png, files, hierarchy)
    return file_source(files, hierarchy=hierarchy, samples=samples, read_labels=read_labels, **more)


def png_labels(data: bytes, where: str, hierarchy: Hierarchy) -> Labels:
    """The ids of a PNG: the index of palette pictures, the value of grey ones.

    where: the file's name for messages. Raises InputError for other files and coloured pictures.
    """
    if data[:2] == b"\xff\xd8":
        raise InputError(
            f"{where}: a JPEG, which blurs class ids; labels must be PNGs of the ids themselves"
        )
    try:
        with PIL.Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            picture.load()
    except Exception as error:  # Pillow answers a broken file with errors of many types
        raise InputError(
            f"{where}: not a whole PNG ({what_is_wrong(data, error)}); get the file again"
        ) from error
    if picture.mode not in _SINGLE:
        raise InputError(f"{where}: {_describe_colours(picture, hierarchy)}")
    ids = np.asarray(picture)
    depth = data[24]  # of the header: bits a value
    if picture.mode == "L" and depth < 8:
        ids = ids // (255 // (2**depth - 1))  # Pillow stretches 2 and 4 bits to 0..255
    if ids.max(initial=0) > 255:
        raise InputError(
            f"{where}: label id {ids.max()} in a 16-bit PNG; ids are 0..255, one byte a pixel"
        )
    as_it_is = picture.mode == "L" and depth == 8 and "transparency" not in picture.info
    return Labels(np.ascontiguousarray(ids, np.uint8), data if as_it_is else None)


def what_is_wrong(data: bytes, error: Exception) -> str:
    """Why a picture cannot be read, in a few words."""
    if not data:
        return "it is empty"
    if data.startswith(b"version https://git-lfs"):
        return "it is a Git-LFS pointer, not the file itself"
    if data.lstrip()[:1] == b"<":
        return "it is a web page"
    if isinstance(error, PIL.UnidentifiedImageError):
        return "it is no picture of this kind"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _describe_colours(picture: PIL.Image.Image, hierarchy: Hierarchy) -> str:
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colours = {tuple(map(int, colour)) for colour in np.unique(pixels, axis=0)}
    if all(r == g == b for r, g, b in colours):
        return (
            f"a {picture.mode} picture whose channels are all the same; save one channel as an "
            "8-bit grey PNG"
        )
    own = " of the hierarchy's palette" if colours <= set(hierarchy.palette) else ""
    return (
        f"a coloured {picture.mode} picture ({len(colours)} colours{own}) instead of class ids; "
        "save an 8-bit grey or palette PNG whose pixel values are the ids"
    )
