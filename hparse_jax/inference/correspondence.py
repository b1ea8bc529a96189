"""The classes that two datasets have in common: a parser trained on one, scored on the other.

A JSON file says for each of the two hierarchies which common class each leaf belongs to:

    {"classes": ["background", "hat", ...],
     "lip": {"background": "background", "hat": "hat", "jumpsuits": null, ...},
     "atr": {...}}

null: no counterpart. Ground-truth pixels of such a class are ignored; predicted ones count as
background.
"""

import dataclasses
import json
import pathlib

import numpy as np
from jaxtyping import UInt8

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, Hierarchy

_SHIPPED = pathlib.Path(__file__).parent.parent / "correspondences"


@dataclasses.dataclass(frozen=True)
class Correspondence:
    """classes: the common ones. predicted, truth: tables from leaf ids to common ids."""

    classes: tuple[str, ...]
    predicted: UInt8[np.ndarray, " 256"]
    truth: UInt8[np.ndarray, " 256"]


def read_correspondence(name: str, trained: Hierarchy, scored: Hierarchy) -> Correspondence:
    """The correspondence of a shipped name ("lip_atr") or a JSON file.

    Raises InputError when the file is not one, or does not cover both hierarchies.
    """
    path, classes, entries = read_file(name, "correspondence")
    for hierarchy in (trained, scored):
        if hierarchy.name not in entries:
            raise InputError(
                f"{path}: no correspondence of {trained.name} and {scored.name}: has no entry "
                f"{hierarchy.name}; see hparse_jax/correspondences for the form"
            )
    predicted = common_classes(path, classes, trained, entries[trained.name])
    truth = common_classes(path, classes, scored, entries[scored.name])
    return Correspondence(classes, _table(classes, predicted, 0), _table(classes, truth, IGNORE))


def shipped_files() -> tuple[str, ...]:
    """The names that need no file of one's own."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def read_file(name: str, argument: str) -> tuple[pathlib.Path, tuple[str, ...], dict[str, dict]]:
    """(path, common classes, hierarchy's name -> leaf -> common class) of a correspondence.

    name: a shipped one, or a file. Raises InputError naming the argument or the file.
    """
    path = _SHIPPED / f"{name}.json" if name in shipped_files() else pathlib.Path(name)
    if not path.is_file():
        raise InputError(
            f"{argument}={name}: no such file; shipped are {', '.join(shipped_files())}"
        )
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"))
        classes = tuple(tree["classes"])
        entries = {key: value for key, value in tree.items() if isinstance(value, dict)}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: no correspondence ({type(error).__name__}: {error}); see "
            "hparse_jax/correspondences for the form"
        ) from error
    if not all(isinstance(name, str) for name in classes) or len({*classes}) < len(classes):
        raise InputError(f"{path}: the common classes must be texts, each once; correct the file")
    if not classes or classes[0] != "background":
        raise InputError(f"{path}: the first of the common classes must be background")
    return path, classes, entries


def common_classes(
    path: pathlib.Path,
    classes: tuple[str, ...],
    hierarchy: Hierarchy,
    entry: dict,
    all_used: bool = True,
) -> tuple[str | None, ...]:
    """The common class of every leaf in id order; None: no counterpart.

    all_used: every common class must have a leaf. Raises InputError when the entry does not cover
    the hierarchy.
    """
    leaves = hierarchy.levels[0].nodes
    missing = [leaf for leaf in leaves if leaf not in entry]
    unknown = [leaf for leaf in entry if leaf not in leaves]
    wrong = [c for c in entry.values() if c is not None and c not in classes]
    unused = [c for c in classes if all_used and c not in entry.values()]
    for what, names in (
        (f"does not cover {hierarchy.name}: missing are", missing),
        (f"names classes that {hierarchy.name} does not have:", unknown),
        ("names common classes that are not listed:", wrong),
        (f"gives {hierarchy.name} no class for", unused),
    ):
        if names:
            raise InputError(f"{path}: {what} {', '.join(map(str, names))}; correct the file")
    return tuple(entry[leaf] for leaf in leaves)


def _table(
    classes: tuple[str, ...], common: tuple[str | None, ...], other: int
) -> UInt8[np.ndarray, " 256"]:
    table = np.full(256, IGNORE, np.uint8)
    table[: len(common)] = [other if c is None else classes.index(c) for c in common]
    return table
