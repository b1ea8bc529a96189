"""Checksums of the files of a folder that is complete: a bit that changes later is noticed."""

import hashlib
import json
import pathlib
from collections.abc import Sequence

from hparse_jax.storage import write_json

SEAL = "checksums.json"


def seal(folder: pathlib.Path, names: Sequence[str] | None = None) -> None:
    """Writes the SHA-256 of every file in the folder and below into checksums.json.

    names: of these files in the folder alone. Does nothing where the folder is gone by now.
    """
    found = folder.rglob("*") if names is None else (folder / name for name in names)
    files = sorted(path for path in found if path.is_file())
    sums = {path.relative_to(folder).as_posix(): _sum(path) for path in files}
    if sums:
        write_json(folder / SEAL, {name: sums[name] for name in sums if name != SEAL})


def find_damage(folder: pathlib.Path, part: str = "") -> str | None:
    """What is wrong with a sealed folder, in words that name the file; None if nothing is.

    part: of its subfolders look at this one alone. A folder without a seal counts as whole: it is
    of an earlier version, or its writer was killed before it sealed.
    """
    try:
        sums = dict(json.loads((folder / SEAL).read_bytes()))
    except FileNotFoundError:
        return None
    except (TypeError, ValueError):
        return f"{folder / SEAL}: damaged"
    for name, expected in sums.items():
        if "/" in name and part and name.partition("/")[0] != part:
            continue
        path = folder / str(name)
        if not path.is_file():
            return f"{path}: missing"
        if _sum(path) != expected:
            return f"{path}: damaged, its checksum is another one"
    return None


def _sum(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
