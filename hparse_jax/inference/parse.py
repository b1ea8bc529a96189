"""Photographs on disk -> label maps, overlays and JSON on disk."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from hparse_jax.errors import InputError
from hparse_jax.inference.photos import Photo, read_photo
from hparse_jax.inference.predictor import Predictor, Result
from hparse_jax.render import label_png, overlay, picture_jpeg, with_legend
from hparse_jax.storage import read_ahead, write_bytes, write_json

_THREADS = min(4, os.cpu_count() or 1)  # that decode and encode pictures
_AHEAD = 2 * _THREADS  # photos decoded, and results encoded, in advance: bounds the memory


def endings(predictor: Predictor, levels: bool) -> tuple[str, ...]:
    """Of the files that `parse_files` writes for every photo."""
    coarser = predictor.hierarchy.levels[1:] if levels else ()
    return (".png", "_overlay.jpg", ".json", *(f"_{level.name}.png" for level in coarser))


def parse_files(
    predictor: Predictor,
    photos: list[Photo],
    levels: bool = False,
    batch_size: int | None = None,
) -> list[str]:
    """Parses the photos and writes their results; returns a line for every photo that failed.

    For every photo: OUT/<relative path without suffix>.png (indexed, pixel value = leaf id),
    _overlay.jpg and .json (see `describe`), with `levels` also _<level>.png for the coarser
    levels. Shows its progress on a terminal.
    """
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
            _write(*parsed, predictor.step, levels)
        except InputError as error:  # the photo changed meanwhile
            return error

    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(photos), desc="predict", unit="photo", disable=None) as bar,
    ):
        announce = None if bar.disable else bar.write
        results = predictor.stream(readable(pool), batch_size, announce)
        for error in read_ahead(pool, write, results, _AHEAD):
            failures += [str(error)] if error else []
            bar.update()
    return failures


def _read(photo: Photo) -> UInt8[np.ndarray, "_ _ 3"] | InputError:
    try:
        return read_photo(photo.path)
    except InputError as error:
        return error


def _write(photo: Photo, result: Result, step: int | None, levels: bool) -> None:
    hierarchy = result.hierarchy
    palette = hierarchy.palette_at(0)
    # read again: keeping every photo in full size until its batch is done would not be bounded
    image = read_photo(photo.path)
    if image.shape[:2] != result.labels.shape:
        raise InputError(f"{photo.path}: changed while it was parsed; parse it again")
    picture = overlay(image, result.labels, palette)
    picture = with_legend(picture, result.labels, result.names, palette)
    write_bytes(photo.result(".png"), label_png(result.labels, palette))
    write_bytes(photo.result("_overlay.jpg"), picture_jpeg(picture))
    for i, level in enumerate(hierarchy.levels[1:] if levels else (), 1):
        png = label_png(result.levels[i], hierarchy.palette_at(i))
        write_bytes(photo.result(f"_{level.name}.png"), png)
    report = {"photo": str(photo.path), "step": step, **describe(result)}
    write_json(photo.result(".json"), report)


def describe(result: Result) -> dict:
    """What was found in a photo, ready for JSON.

    {"height", "width", "box_format", "levels": [{"name", "classes": [{"name", "id", "share", "box",
    "largest_box"}], "gates": {node: {source: gate}}}]}. share: fraction of the photo's pixels, four
    digits. box: around all pixels of the class; largest_box: around its largest connected region
    (pixels that touch at a side or a corner). Only classes that were found are listed.
    """
    height, width = result.labels.shape
    levels = []
    for level, labels, gates in zip(
        result.hierarchy.levels, result.levels, result.gates, strict=True
    ):
        shares = np.bincount(labels.ravel(), minlength=len(level.nodes)) / labels.size
        classes = [
            {"name": level.nodes[i], "id": i, "share": round(float(shares[i]), 4)}
            | _boxes(labels == i)
            for i in np.flatnonzero(shares).tolist()
        ]
        confidence = {
            node: {
                source: round(float(values[i]), 6)
                for source, values in gates.items()
                if i or source == "direct"  # background has direct inference only
            }
            for i, node in enumerate(level.nodes)
            if gates
        }
        levels.append({"name": level.name, "classes": classes, "gates": confidence})
    return {
        "height": height,
        "width": width,
        "box_format": "x0, y0, x1, y1 in pixels; x1 and y1 exclusive",
        "levels": levels,
    }


def _boxes(mask: Bool[np.ndarray, "h w"]) -> dict[str, list[int]]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8)
    _, _, regions, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    left, top, width, height, _ = regions[1 + regions[1:, cv2.CC_STAT_AREA].argmax()]
    largest = (x0 + left, y0 + top, x0 + left + width, y0 + top + height)
    return {"box": [int(v) for v in (x0, y0, x1, y1)], "largest_box": [int(v) for v in largest]}
