"""The verb `predict`: photographs and folders of photographs -> label maps, overlays, JSON."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy
from hparse_jax.inference.photos import Photo, find_photos, read_photo
from hparse_jax.inference.predictor import Parser, Result
from hparse_jax.render import label_png, overlay, picture_jpeg, with_legend
from hparse_jax.storage import read_ahead, write_bytes

_THREADS = min(4, os.cpu_count() or 1)  # that decode and encode pictures
_AHEAD = 2 * _THREADS  # photos decoded, and results encoded, in advance: bounds the memory


def predict(
    parser: Parser,
    inputs: list[str],
    output: str | os.PathLike,
    levels: bool = False,
    batch_size: int | None = None,
) -> int:
    """Parses the photos of files and folders and writes the results; the exit code.

    For every photo: OUT/<relative path without suffix>.png (indexed, pixel value = leaf id),
    _overlay.jpg and .json (see `describe`), with `levels` also _<level>.png for the coarser
    levels. A photo that cannot be read is listed at the end and makes the exit code 1. Raises
    InputError when there is no photo at all or when results would collide.
    """
    coarser = parser.hierarchy.levels[1:] if levels else ()
    endings = (".png", "_overlay.jpg", ".json", *(f"_{level.name}.png" for level in coarser))
    photos = find_photos(inputs, output, endings)
    failures: list[str] = []

    def readable(pool: ThreadPoolExecutor) -> Iterator[tuple[Photo, UInt8[np.ndarray, "_ _ 3"]]]:
        for photo, image in zip(photos, read_ahead(pool, _read, photos, _AHEAD), strict=True):
            if isinstance(image, InputError):
                failures.append(str(image))
                bar.update()
            else:
                yield photo, image

    def write(parsed: tuple[Photo, Result]) -> InputError | None:
        try:
            _write(*parsed, parser, levels)
        except InputError as error:  # the photo changed meanwhile
            return error

    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(photos), desc="predict", unit="photo", disable=None) as bar,
    ):
        for error in read_ahead(pool, write, parser.stream(readable(pool), batch_size), _AHEAD):
            failures += [str(error)] if error else []
            bar.update()
    print(f"{len(photos) - len(failures)} of {len(photos)} photographs parsed into {output}")
    if failures:
        print(f"{len(failures)} failed:", *failures, sep="\n  ", file=sys.stderr)
    return 1 if failures else 0


def _read(photo: Photo) -> UInt8[np.ndarray, "_ _ 3"] | InputError:
    try:
        return read_photo(photo.path)
    except InputError as error:
        return error


def _write(photo: Photo, result: Result, parser: Parser, levels: bool) -> None:
    hierarchy = parser.hierarchy
    palette = hierarchy.palette_at(0)
    # read again: keeping every photo in full size until its batch is done would not be bounded
    picture = overlay(read_photo(photo.path), result.labels, palette)
    picture = with_legend(picture, result.labels, result.names, palette)
    write_bytes(photo.result(".png"), label_png(result.labels, palette))
    write_bytes(photo.result("_overlay.jpg"), picture_jpeg(picture))
    for i, level in enumerate(hierarchy.levels[1:] if levels else (), 1):
        png = label_png(result.levels[i], hierarchy.palette_at(i))
        write_bytes(photo.result(f"_{level.name}.png"), png)
    report = {"photo": str(photo.path), "step": parser.step, **describe(result, hierarchy)}
    write_bytes(photo.result(".json"), json.dumps(report, indent=1).encode())


def describe(result: Result, hierarchy: Hierarchy) -> dict:
    """What was found in a photo, ready for JSON.

    {"height", "width", "levels": [{"name", "classes": [{"name", "id", "share", "box"}],
    "gates": {node: {source: gate}}}]}. share: fraction of the photo's pixels. box: [x0, y0, x1, y1]
    in pixels, x1 and y1 just outside. Only classes that were found are listed.
    """
    height, width = result.labels.shape
    levels = []
    for level, labels, gates in zip(hierarchy.levels, result.levels, result.gates, strict=True):
        shares = np.bincount(labels.ravel(), minlength=len(level.nodes)) / labels.size
        levels.append(
            {
                "name": level.name,
                "classes": [
                    {"name": level.nodes[i], "id": i, "share": float(shares[i])}
                    | {"box": _box(labels == i)}
                    for i in np.flatnonzero(shares).tolist()
                ],
                "gates": {
                    node: {
                        source: round(float(values[i]), 6)
                        for source, values in gates.items()
                        if i or source == "direct"  # background has direct inference only
                    }
                    for i, node in enumerate(level.nodes)
                    if gates
                },
            }
        )
    return {"height": height, "width": width, "levels": levels}


def _box(mask: np.ndarray) -> list[int]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
