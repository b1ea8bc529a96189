"""Results in the classes of another dataset: a parser trained on one, read as the other's.

The translation is a correspondence (see `correspondence.py`) that names the parser's hierarchy and
one other: leaf -> common class -> the other's leaf. A common class with several leaves in the other
goes to the leaf of the same name; without one it has no counterpart. A file that names the
parser's hierarchy alone translates into its list `classes` itself. The parser's hierarchy goes by
its name, or by its leaves: those of one's own dataset may be LIP's.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import (
    Hierarchy,
    get_hierarchy,
    hierarchy_from_json,
    shipped_hierarchies,
)
from hparse_jax.inference.correspondence import common_classes, read_file, shipped_files
from hparse_jax.inference.result import Result


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """name: of the correspondence. target: what results are translated into. table: leaf id -> the
    target's leaf id. lost: names of leaves without a counterpart, which become background.
    """

    name: str
    target: Hierarchy
    table: UInt8[np.ndarray, " leaves"]
    lost: tuple[str, ...]

    def __call__(self, result: Result) -> Result:
        """The result in the target's classes, without gates: its nodes are not the network's.

        The levels follow from the leaves; a leaf's probability is the sum of those that become it.
        """
        labels = self.table[result.labels]
        depths = range(len(self.target.levels))
        return dataclasses.replace(
            result,
            labels=labels,
            levels=tuple(self.target.labels_at(i, labels) for i in depths),
            hierarchy=self.target,
            gates=tuple({} for _ in depths),
            _logits=lambda level: self._logits_of(result, level),
        )

    def _logits_of(self, result: Result, level: int) -> Float[np.ndarray, "h w nodes"]:
        nodes = self.target.table(level)[self.table]
        sums = np.zeros((len(nodes), len(self.target.levels[level].nodes)), np.float32)
        sums[np.arange(len(nodes)), nodes] = 1
        smallest = np.finfo(np.float32).tiny  # the logarithm of 0 is not finite
        return np.log(np.maximum(result.probabilities(0) @ sums, smallest))


def read_class_map(name: str, source: Hierarchy) -> ClassMap:
    """The translation from a parser's classes by a shipped name ("lip_atr") or a JSON file.

    Raises InputError when the file is no correspondence of these classes, or leaves none of them.
    """
    path, classes, entries = read_file(name, "map")
    leaves = source.levels[0].nodes
    same = [key for key, entry in entries.items() if {*entry} == {*leaves}]
    own = source.name if source.name in entries else (same or [None])[0]
    others = [key for key in entries if key != own]
    if own is None:
        fitting = [file for file in shipped_files() if source.name in read_file(file, "map")[2]]
        hint = f"those that ship are {', '.join(fitting)}" if fitting else "write one for it"
        raise InputError(
            f"map={name}: says nothing about {source.name}, the classes of this parser; {hint}"
        )
    if len(others) > 1 or not {*others} <= {*shipped_hierarchies()}:
        raise InputError(
            f"{path}: beside {own} it must name one of {', '.join(shipped_hierarchies())} "
            f"to translate into, or none for its own classes, not {', '.join(others)}"
        )
    common = common_classes(path, classes, source, entries[own], all_used=bool(others))
    if others:
        target = get_hierarchy(others[0])
        theirs = common_classes(path, classes, target, entries[others[0]], all_used=True)
        ids = {c: i for c in classes if (i := _counterpart(c, theirs, target)) is not None}
    else:
        tree = {"name": path.stem, "levels": [{"name": "classes", "nodes": dict.fromkeys(classes)}]}
        target = hierarchy_from_json(tree)
        ids = {c: i for i, c in enumerate(classes)}
    table = np.array([ids.get(c, 0) for c in common], np.uint8)
    lost = tuple(leaves[i] for i, c in enumerate(common) if i and c not in ids)
    if len(lost) == len(leaves) - 1:
        raise InputError(
            f"map={name}: no class of {source.name} has a counterpart in {target.name}; a common "
            "class goes to its only class there, or to the one of the same name"
        )
    return ClassMap(path.stem, target, table, lost)


def _counterpart(name: str, leaves: tuple[str | None, ...], target: Hierarchy) -> int | None:
    found = [i for i, common in enumerate(leaves) if common == name]
    named = [i for i in found if target.levels[0].nodes[i] == name]
    return (named or found)[0] if named or len(found) == 1 else None
