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
    path = _SHIPPED / f"{name}.json"
    path = path if path.is_file() else pathlib.Path(name)
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in _SHIPPED.glob("*.json")))
        raise InputError(f"correspondence={name}: no such file; shipped are {shipped}")
    try:
        tree = json.loads(path.read_text())
        classes = tuple(tree["classes"])
        maps = {h.name: dict(tree[h.name]) for h in (trained, scored)}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: no correspondence of {trained.name} and {scored.name} "
            f"({type(error).__name__}: {error}); see hparse_jax/correspondences for the form"
        ) from error
    if not all(isinstance(name, str) for name in classes) or len({*classes}) < len(classes):
        raise InputError(f"{path}: the common classes must be texts, each once; correct the file")
    if not classes or classes[0] != "background":
        raise InputError(f"{path}: the first of the common classes must be background")
    predicted = _table(path, classes, trained, maps[trained.name], 0)
    truth = _table(path, classes, scored, maps[scored.name], IGNORE)
    return Correspondence(classes, predicted, truth)


def _table(
    path: pathlib.Path, classes: tuple[str, ...], hierarchy: Hierarchy, common: dict, other: int
) -> UInt8[np.ndarray, " 256"]:
    leaves = hierarchy.levels[0].nodes
    missing = [leaf for leaf in leaves if leaf not in common]
    unknown = [leaf for leaf in common if leaf not in leaves]
    wrong = [c for c in common.values() if c is not None and c not in classes]
    for what, names in (
        (f"does not cover {hierarchy.name}: missing are", missing),
        (f"names classes that {hierarchy.name} does not have:", unknown),
        ("names common classes that are not listed:", wrong),
        (f"gives {hierarchy.name} no class for", [c for c in classes if c not in common.values()]),
    ):
        if names:
            raise InputError(f"{path}: {what} {', '.join(map(str, names))}; correct the file")
    table = np.full(256, IGNORE, np.uint8)
    ids = [other if common[leaf] is None else classes.index(common[leaf]) for leaf in leaves]
    table[: len(ids)] = ids
    return table
