"""Labels -> leaf ids. A PNG is read by its stored values, never by the colours they show."""

import io
import json
import pathlib

import numpy as np
import PIL.Image
import scipy.io

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.source import Labels, LeftOut, Sample, Source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

_SINGLE = ("1", "L", "P", "I;16", "I")  # Pillow's modes with one value a pixel


def file_source(files: Files, hierarchy: Hierarchy, samples: list[Sample], **more) -> Source:
    """The source of photos and label PNGs that are files; more: what differs of `Source`."""

    def read_png(sample):
        return png_labels(files.read(sample.label), files.where(sample.label), hierarchy)

    fields = {
        "read_image": lambda sample: files.read(sample.image),
        "read_labels": read_png,
        "place": lambda _, name: files.where(name),
        "problems": list(files.problems),
    }
    return Source(hierarchy, samples, **fields | more)


def class_table(dataset: str) -> dict[str, str]:
    """Label of a raw dataset -> class, as classes.json lists them."""
    classes = json.loads(pathlib.Path(__file__).with_name("classes.json").read_text())[dataset]
    return {label: name for name, labels in classes.items() for label in labels}


def to_classes(
    labels: np.ndarray, names: tuple[str, ...], class_of: dict[str, str], where: str
) -> Labels:
    """Label ids [h, w] into `names` -> leaf ids of Fashion Clothing.

    Raises InputError for other arrays and ids without a name, LeftOut for labels without a class.
    """
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        kind = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{where}: labels are {kind}; they must be integers [h, w]")
    present = np.unique(labels)
    wrong = present[(present < 0) | (present >= len(names))]
    if wrong.size:
        raise InputError(
            f"{where}: label id {wrong[0]} is not in its list of labels (0..{len(names) - 1}); "
            "correct the label or the list"
        )
    without_class = tuple(names[i] for i in present if names[i] not in class_of)
    if without_class:
        raise LeftOut(*without_class)
    classes = get_hierarchy("fashion_clothing").levels[0].nodes
    table = np.zeros(len(names), np.uint8)
    table[present] = [classes.index(class_of[names[i]]) for i in present]
    return Labels(table[labels])


def png_labels(data: bytes, where: str, hierarchy: Hierarchy) -> Labels:
    """The ids of a PNG: the index of palette pictures, the value of grey ones.

    An 8-bit grey one is kept as it is. where: the file's name for messages. Raises InputError for
    other files and coloured pictures.
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


def load_mat(data: bytes, key: str, where: str, dataset: str) -> np.ndarray:
    """One variable of a MATLAB file (version 4 to 7).

    Raises InputError naming the file `where` and the dataset it should be of.
    """
    try:
        return scipy.io.loadmat(io.BytesIO(data), variable_names=[key])[key]
    except KeyError:
        raise InputError(f"{where}: holds no {key}; is this {dataset}'s file?") from None
    except Exception as error:  # scipy answers a broken file with errors of many types
        raise InputError(
            f"{where}: not a readable MATLAB file ({what_is_wrong(data, error)}); "
            f"unpack {dataset} again"
        ) from error


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
