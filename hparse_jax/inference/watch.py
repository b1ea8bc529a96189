"""A folder that is watched: the photographs that arrive in it, once they are complete."""

import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

from hparse_jax.errors import InputError
from hparse_jax.inference.photos import Photo, find_photos

INTERVAL = 1.0  # seconds between two looks


def arrivals(
    folder: str | os.PathLike,
    output: str | os.PathLike,
    endings: tuple[str, ...],
    shared: Sequence[str],
    report: Callable[[str], None],
    interval: float | int = INTERVAL,
) -> Iterator[list[Photo]]:
    """The photographs that are in a folder, and later those that are added or replaced; endless.

    A file is complete when it is not empty and its size and its time of change are the same at two
    looks. Names and what is skipped are those of `find_photos`. Raises InputError when that refuses
    the folder or a name in it at the first look; later `report` is called with the reason, once,
    and nothing is parsed until the reason is gone.
    """
    before: dict[pathlib.Path, tuple[int, int]] = {}
    taken: dict[pathlib.Path, tuple[int, int]] = {}
    find = functools.partial(find_photos, [folder], output, endings, shared, may_be_empty=True)
    find()
    told = None
    while True:
        try:
            photos, told = find(), None
        except InputError as error:
            if str(error) != told:
                told = str(error)
                report(told)
            time.sleep(interval)
            continue
        now = {photo.path: state for photo in photos if (state := _state(photo.path))}
        ready = [p for p in photos if p.path in now and before.get(p.path) == now[p.path]]
        ready = [photo for photo in ready if taken.get(photo.path) != now[photo.path]]
        taken = {path: state for path, state in taken.items() if path in now}
        taken |= {photo.path: now[photo.path] for photo in ready}
        before = now
        if ready:
            yield ready
        time.sleep(interval)


def _state(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:  # moved away since it was listed
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size else None
