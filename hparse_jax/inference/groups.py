"""Which photos of a split belong to a part of an analysis: LIP's factors and object sizes."""

import dataclasses
import pathlib
from collections.abc import Callable, Collection

import numpy as np
from jaxtyping import UInt8

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, Hierarchy
from hparse_jax.joints import require_joints

# foreground pixels of a photo, LIP section 5.4
_SIZES = {"small": (0, 153**2), "medium": (153**2, 321**2), "large": (321**2, np.inf)}


@dataclasses.dataclass(frozen=True)
class Group:
    """holds: does a photo with this id and these leaf labels belong to it?

    analysis: the entry of the report that its scores go to. derived: from labels, not a list.
    """

    analysis: str
    name: str
    derived: bool
    holds: Callable[[str, UInt8[np.ndarray, "h w"]], bool]


def object_sizes() -> tuple[Group, ...]:
    """Small, medium and large by the number of foreground pixels."""

    def between(low, high):
        return lambda _, labels: low <= np.count_nonzero((labels > 0) & (labels != IGNORE)) < high

    return tuple(Group("object_sizes", name, True, between(*ends)) for name, ends in _SIZES.items())


def factors(
    wanted: list[str], hierarchy: Hierarchy, ids: Callable[[], Collection[str]]
) -> tuple[Group, ...]:
    """The challenging factors of LIP section 3.2, from list files, or "derived" from the labels.

    A list NAME.txt holds the ids of the photos with factor NAME, one a line. ids: the split's.
    Derived are head-missed (no pixel of the joint head), full-body (head and a foot), upper-body
    (head, and no joint of the lower body; socks and jumpsuits are no joints of LIP). LIP's authors
    annotated these factors by eye. Joints are known by their names: "head"; "shoe" or
    "lower_leg" for a foot; these, "leg" and "lower_body" for the lower body.
    Raises InputError for a list that is missing, empty, or names an unknown photo.
    """
    groups: list[Group] = []
    for item in wanted:
        groups += _derived(hierarchy) if item == "derived" else [_listed(item, ids())]
    names = [group.name for group in groups]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"factors: {', '.join(sorted(twice))} twice; rename or drop one")
    return tuple(groups)


def _listed(file: str, known: Collection[str]) -> Group:
    path = pathlib.Path(file)
    if not path.is_file():
        raise InputError(f"factors={file}: no such list; give files of ids, or derived")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file; put one id a line into it") from error
    listed = frozenset(line.strip() for line in lines if line.strip())
    if not listed:
        raise InputError(f"{path}: lists no photo; put one id a line into it")
    unknown = sorted(listed.difference(known))
    if unknown:
        raise InputError(
            f"{path}: {len(unknown)} ids are not in the split, the first is {unknown[0]}; "
            "lists must name photos of the split that is scored"
        )
    return Group("factors", path.stem, False, lambda photo_id, _: photo_id in listed)


def _derived(hierarchy: Hierarchy) -> list[Group]:
    require_joints(hierarchy, "give lists of photos")

    def ids_of(*words):
        return [i for name, ids in hierarchy.joints if any(w in name for w in words) for i in ids]

    head, feet = ids_of("head"), ids_of("shoe", "lower_leg")
    lower = ids_of("shoe", "leg", "lower_body")
    if not (head and feet):
        raise InputError(
            f"factors=derived: hierarchy {hierarchy.name} has no joints of head and feet; "
            "give lists"
        )

    def seen(labels, ids):
        return bool(np.isin(labels, ids).any())

    named = {
        "full-body": lambda _, labels: seen(labels, head) and seen(labels, feet),
        "upper-body": lambda _, labels: seen(labels, head) and not seen(labels, lower),
        "head-missed": lambda _, labels: not seen(labels, head),
    }
    return [Group("factors", name, True, holds) for name, holds in named.items()]
