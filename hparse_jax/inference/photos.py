"""Photographs on disk: finding and reading them, and naming their results."""

import collections
import dataclasses
import io
import math
import os
import pathlib
import stat
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from hparse_jax.errors import InputError
from hparse_jax.storage import printable

_KINDS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LARGE = 64_000_000  # pixels from which on a photograph may be decoded at reduced size


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photograph to parse: its path, the path of its results without a suffix, and its name.

    name: the path relative to its folder, with "/"; no two photographs of a call share it.
    """

    path: pathlib.Path
    results: pathlib.Path
    name: str

    def result(self, ending: str) -> pathlib.Path:
        """The file of one result, e.g. ending ".png" or "_overlay.jpg"."""
        return self.results.with_name(self.results.name + ending)


def find_photos(
    inputs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    endings: tuple[str, ...],
    shared: Sequence[str] = (),
    may_be_empty: bool = False,
) -> list[Photo]:
    """The photographs among files and folders (searched recursively), with their results' paths.

    A photo in a folder keeps its path relative to that folder; photos that share it up to the
    suffix keep the suffix in the name (x_jpg, x_png). A file named directly is taken with any
    suffix, and even when it is missing, so that reading it fails later without stopping the
    others. Inside a folder, hidden files and everything under `output` are skipped.
    endings: of the files that will be written for every photo. shared: names of files in `output`
    that belong to no photo. Raises InputError when there is no photo and `may_be_empty` is not set,
    or when a result would overwrite another photo's result, a photo or a shared file.
    """
    output = pathlib.Path(output)
    found: dict[pathlib.Path, pathlib.Path] = {}  # absolute path -> path relative to its folder
    for name in map(pathlib.Path, inputs):
        is_folder = os.path.isdir(name)  # no error for a name that cannot exist
        folder = name if is_folder else name.parent
        if os.path.realpath(output) == os.path.realpath(folder):
            raise InputError(
                f"output={printable(output)} is the photographs' own folder, where a later call "
                "would parse the results, too; give another one"
            )
        away = pathlib.Path(os.path.realpath(output))
        inside = files_under(name, away, SUFFIXES) if is_folder else [name]
        for path in inside:
            found.setdefault(path.absolute(), path.relative_to(folder))
    if not found and not may_be_empty:
        where = f" found in {', '.join(map(printable, inputs))}" if inputs else " given"
        raise InputError(
            f"no photograph{where}; give photographs ({' '.join(SUFFIXES)}) or folders of them"
        )
    stems = collections.Counter(_key(relative.with_suffix("")) for relative in found.values())
    photos = []
    for path, relative in found.items():
        results = relative.with_suffix("")
        if stems[_key(results)] > 1 and relative.suffix:
            results = results.with_name(f"{results.name}_{relative.suffix[1:]}")
        photos.append(Photo(path, output / results, relative.as_posix()))
    _check_collisions(photos, endings, [output / name for name in shared])
    return photos


def files_under(
    folder: pathlib.Path, output: pathlib.Path, suffixes: Sequence[str]
) -> Iterable[pathlib.Path]:
    """The files in a folder and below that have one of these suffixes, in order; hidden files and
    what is in `output` (resolved) are left out."""
    for parent, folders, files in os.walk(folder):
        here = pathlib.Path(parent)
        shown = sorted(f for f in folders if not f.startswith("."))
        folders[:] = [f for f in shown if os.path.realpath(here / f) != str(output)]
        for name in sorted(f for f in files if not f.startswith(".")):
            if pathlib.Path(name).suffix.lower() in suffixes:
                yield here / name


def _check_collisions(
    photos: list[Photo], endings: tuple[str, ...], shared: list[pathlib.Path]
) -> None:
    taken: dict[str, Photo | None] = {_key(path.absolute()): None for path in shared}
    taken |= {_key(photo.path): photo for photo in photos}
    for photo in photos:
        for ending in endings:
            result = photo.result(ending)
            other = taken.setdefault(_key(result.absolute()), photo)
            if other is not photo or _key(result.absolute()) == _key(photo.path):
                owner = printable(other.path) if other else "the whole call"
                raise InputError(
                    f"{printable(result)} would be written for {printable(photo.path)} and belongs "
                    f"to {owner}; "
                    "rename one of them or parse them into different folders"
                )


def _key(path: pathlib.Path) -> str:
    return str(path).casefold()  # names that differ in case only are one file on some systems


def read_photo(path: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """A photograph as RGB, upright (EXIF orientation applied).

    Grey, palette, 1-bit, CMYK and 16-bit files are converted (16-bit scaled to 8), transparency is
    composited over white, of an animation the first frame is read. Raises InputError naming the
    file when it is missing, broken, truncated or in no known format.
    """
    return read_reduced(path, math.inf)[0]


def read_reduced(
    path: str | os.PathLike, side: float | int
) -> tuple[UInt8[np.ndarray, "_ _ 3"], tuple[int, int]]:
    """The same, and the photograph's own (height, width).

    A JPEG of more than LARGE pixels comes at the half, fourth or eighth of its size, the smallest
    whose longer side is `side` or more: it then takes that much less memory. All others come as
    they are.
    """
    name = printable(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise InputError(f"{name}: cannot be opened ({reason}); check the name") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{name}: a folder; name the photographs in it")
    if not stat.S_ISREG(mode):
        raise InputError(
            f"{name}: a pipe, a socket or a device; give a file, or - for standard input"
        )
    return _decoded(path, name, side=side)


class TooManyPixels(InputError):
    """A photograph of more pixels than are allowed."""


def decode_photo(
    data: bytes, name: str, max_pixels: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The same of a file's bytes, which errors call `name`, in one of the formats of SUFFIXES.

    Meant for bytes from anywhere. Raises TooManyPixels, from the header alone, for a photograph of
    more than max_pixels.
    """
    return _decoded(io.BytesIO(data), name, max_pixels, _KINDS)[0]


def _decoded(
    file: str | os.PathLike | io.BytesIO,
    name: str,
    max_pixels: int | None = None,
    kinds: tuple[str, ...] | None = None,
    side: float | int = math.inf,
) -> tuple[UInt8[np.ndarray, "_ _ 3"], tuple[int, int]]:
    try:
        with Image.open(file, formats=kinds) as image:
            if max_pixels is not None and image.width * image.height > max_pixels:
                raise TooManyPixels(
                    f"{name}: {image.width} x {image.height} pixels; give a photograph of at most "
                    f"{max_pixels} pixels"
                )
            width, height = image.size
            if width * height > LARGE and side < max(width, height):
                share = side / max(width, height)
                # only JPEG has reduced sizes; the result has these sides or more
                image.draft(None, (math.ceil(width * share), math.ceil(height * share)))
            stored = image.size
            image.load()
            upright = ImageOps.exif_transpose(image)
            own = (height, width) if upright.size == stored else (width, height)
            return np.array(_as_rgb(upright)), own
    except TooManyPixels:
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"{name}: {error} Give a smaller photograph") from error
    except Exception as error:  # a damaged file can fail in any way, struct.error among them
        reason = " ".join(str(error).replace(f" {file!r}", "").split()) or type(error).__name__
        raise InputError(f"{name}: not a readable photograph ({reason})") from error


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = np.asarray(image)
        if image.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            raise ValueError("its pixels have no known range; save it with 8 or 16 bits")
        grey = (grey.astype(np.int32) + 128) // 257  # 257 = 65535 / 255
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
