"""Files that are whole or absent, names of files, read-ahead, Python files."""

import collections
import contextlib
import json
import os
import pathlib
import runpy
import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from hparse_jax.errors import InputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary path beside `path` that replaces it when the block ends without an error.

    Makes the folder when needed; after an error nothing is left behind and `path` is as it was.
    Of several processes that write the same path, the last one that ends wins.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{secrets.token_hex(8)}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == str(unfinished):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file that is either complete or absent, making its folder when needed."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def write_json(path: str | os.PathLike, tree: object) -> None:
    """Writes JSON, complete or absent."""
    write_bytes(path, (json.dumps(tree, indent=1) + "\n").encode())


def check_folder(path: pathlib.Path, argument: str) -> None:
    """Raises InputError naming the argument if `path` or a parent of it is a file."""
    for folder in (path, *path.parents):
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{argument}: {folder} is a file; give the path of a folder")


def printable(path: str | os.PathLike) -> str:
    """A path for a message of one line: newlines, undecodable bytes and the like are escaped."""
    text = os.fspath(path)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def is_safe_name(name: str) -> bool:
    """Whether a relative path stays below the folder it is joined to."""
    parts = name.replace("\\", "/").split("/")
    return bool(name) and ".." not in parts and parts[0] != "" and ":" not in parts[0]


def read_ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, calls: int
) -> Iterator[object]:
    """`map(function, items)` in a pool of threads, in order, at most `calls` calls in advance."""
    waiting = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > calls:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def run_file(path: str | os.PathLike, function: str, *arguments) -> object:
    """What a function of the user's Python file returns. Raises InputError when there is none."""
    try:
        names = runpy.run_path(os.fspath(path))
        if function in names:
            return names[function](*arguments)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the file is a program: it can end in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"cannot run this file ({reason})") from error
    raise InputError(f"has no function {function}()")
