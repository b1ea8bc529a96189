"""Photographs on disk -> the files of their results on disk."""

import contextlib
import dataclasses
import errno
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from hparse_jax.errors import InputError
from hparse_jax.inference.coco_file import CocoFile, coco_entry, coco_file
from hparse_jax.inference.outputs import ANNOTATIONS, Outputs
from hparse_jax.inference.photos import Photo, read_reduced
from hparse_jax.inference.predictor import Predictor
from hparse_jax.inference.result import Result
from hparse_jax.storage import printable, read_ahead

_THREADS = min(4, os.cpu_count() or 1)  # that decode and encode pictures
_AHEAD = 2 * _THREADS  # photos decoded, and results encoded, in advance: bounds the memory


@dataclasses.dataclass
class Tally:
    """What became of the photographs so far; failures: a line for every one that failed."""

    parsed: int = 0
    skipped: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


def parse_rounds(
    predictor: Predictor,
    rounds: Iterable[list[Photo]],
    output: str | os.PathLike,
    outputs: Outputs,
    tally: Tally,
    translate: Callable[[Result], Result] | None = None,
    batch_size: int | None = None,
    skip_existing: bool = False,
) -> None:
    """Parses round after round of photos and writes their results, with "rle" annotations.json.

    tally: counts while the rounds go on, so that it holds when Ctrl-C ends them. skip_existing:
    leaves out the photos whose results are complete and not older than the photo. Raises
    InputError when annotations.json is to be continued and cannot be. The other arguments: see
    `parse_files`.
    """
    annotations = contextlib.nullcontext()
    if "rle" in outputs.formats:
        path = pathlib.Path(output) / ANNOTATIONS
        annotations = coco_file(path, outputs.hierarchy, skip_existing)
    with annotations as coco:
        for photos in rounds:
            if skip_existing:
                missing = [photo for photo in photos if not _is_complete(photo, outputs, coco)]
                tally.skipped += len(photos) - len(missing)
                photos = missing
            for failure in parse_files(predictor, photos, outputs, translate, coco, batch_size):
                if failure is None:
                    tally.parsed += 1
                else:
                    tally.failures.append(failure)


def _is_complete(photo: Photo, outputs: Outputs, coco: CocoFile | None) -> bool:
    if coco is not None and photo.name not in coco:
        return False
    return outputs.are_complete(photo.results) and not _is_newer(photo.path, photo.result(".json"))


def _is_newer(photo: pathlib.Path, results: pathlib.Path) -> bool:
    """Whether a photo was replaced after its results; of one that is gone they stay."""
    return photo.exists() and photo.stat().st_mtime_ns > results.stat().st_mtime_ns


def write_one(result: Result, stem: pathlib.Path, outputs: Outputs) -> None:
    """Writes the results of a photo that is no file; with "rle" annotations.json beside them."""
    outputs.write(result, stem)
    if "rle" in outputs.formats:
        with coco_file(stem.with_name(ANNOTATIONS), outputs.hierarchy, resume=False) as coco:
            coco.add(stem.name, coco_entry(result, outputs.classes))


def parse_files(
    predictor: Predictor,
    photos: list[Photo],
    outputs: Outputs,
    translate: Callable[[Result], Result] | None = None,
    coco: CocoFile | None = None,
    batch_size: int | None = None,
) -> Iterator[str | None]:
    """Parses the photos and writes their results; yields None for each, or why it failed.

    They come as their files are written, those that could not be read last. outputs: which files.
    translate: what results are turned into first, e.g. by a `ClassMap`. coco: where the
    annotations of a photo are added. Shows its progress on a terminal.
    """
    unreadable: list[str] = []

    def readable(pool: ThreadPoolExecutor) -> Iterator[tuple[tuple, UInt8[np.ndarray, "_ _ 3"]]]:
        read = functools.partial(_read, side=predictor.ample_side)
        for photo, found in zip(photos, read_ahead(pool, read, photos, _AHEAD), strict=True):
            if isinstance(found, InputError):
                unreadable.append(str(found))
                bar.update()
            else:
                image, own = found
                yield (photo, own), image

    def write(
        parsed: tuple[tuple[Photo, tuple[int, int]], Result],
    ) -> tuple[Photo, str | None, tuple | None]:
        (photo, own), result = parsed
        try:
            result = translate(result) if translate else result
            result = result if result.labels.shape == own else result.enlarged(own)
            # by its path: keeping every photo in full size until its batch is done would not be
            # bounded
            outputs.write(result.with_photo(photo.path), photo.results)
        except InputError as error:  # the photo changed meanwhile
            return photo, str(error), None
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return photo, f"{printable(photo.path)}: too long a name for its results", None
        return photo, None, None if coco is None else coco_entry(result, outputs.classes)

    with (
        ThreadPoolExecutor(_THREADS) as pool,
        tqdm(total=len(photos), desc="predict", unit="photo", disable=None) as bar,
    ):
        announce = None if bar.disable else bar.write
        results = predictor.stream(readable(pool), batch_size, announce)
        for photo, failure, entry in read_ahead(pool, write, results, _AHEAD):
            if entry is not None:
                coco.add(photo.name, entry)
            bar.update()
            yield failure
        yield from unreadable


def _read(
    photo: Photo, side: float | int
) -> tuple[UInt8[np.ndarray, "_ _ 3"], tuple[int, int]] | InputError:
    try:
        return read_reduced(photo.path, side)
    except InputError as error:
        return error
