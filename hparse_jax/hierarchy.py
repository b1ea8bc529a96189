"""The body as data: levels of nodes, their parents, left/right pairs, colours and joints.

A hierarchy is a JSON file: class names with the parent of each, level by level. The shipped ones
are in `hparse_jax/hierarchies/`; a file of the same form describes your own classes and tree, and
so does a Python file whose `get_hierarchy()` returns a `Hierarchy` or a dict of that form.
Whatever follows from a tree (label maps, flips, palettes of the coarser levels) is derived here.
"""

import dataclasses
import difflib
import functools
import itertools
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from hparse_jax.errors import InputError
from hparse_jax.storage import run_file

IGNORE = 255  # the label of pixels that do not count: padding and unlabelled pixels
_UNKNOWN = 254  # marks ids outside the class list in the look-up tables
_SHIPPED = pathlib.Path(__file__).parent / "hierarchies"
_EXAMPLE = f"an example is {_SHIPPED / 'lip.json'}"


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the tree.

    nodes: node names in id order, `nodes[0] == "background"`.
    parents: for each node the index of its parent in the next coarser level; `()` at the root.
    """

    name: str
    nodes: tuple[str, ...]
    parents: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """A body hierarchy of any depth >= 1 (CNIF section 3, the graph G).

    levels: finest first. flip_pairs: pairs of leaf ids that swap under horizontal flip.
    palette: one RGB colour per leaf id. joints: (name, leaf ids) of the regions whose centres
    serve as joints (LIP section 4); empty when the classes define none.
    Raises InputError when the parts do not fit together.
    """

    name: str
    levels: tuple[Level, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    joints: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __post_init__(self):
        for problem in _problems(self):
            raise InputError(f"hierarchy {self.name}: {problem}")
        for depth in range(len(self.levels)):
            self.flip_permutation(depth)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - hierarchies are few and small
    def table(self, level: int) -> np.ndarray:
        """uint8 [256]: leaf id -> node id at `level`; 255 -> 255, every unknown id -> 254."""
        if not 0 <= level < len(self.levels):
            raise InputError(
                f"level {level}: hierarchy {self.name} has levels 0..{len(self.levels) - 1}"
            )
        table = np.full(256, _UNKNOWN, np.uint8)
        ids = np.arange(len(self.levels[0].nodes))
        for finer in self.levels[:level]:
            ids = np.asarray(finer.parents)[ids]
        table[: len(ids)] = ids
        table[IGNORE] = IGNORE
        table.setflags(write=False)
        return table

    def unknown_ids(self) -> np.ndarray:
        """bool [256]: which label values are neither a leaf id nor 255."""
        return self.table(0) == _UNKNOWN

    def labels_at(self, level: int, labels: np.ndarray) -> np.ndarray:
        """Leaf labels uint8 [..., h, w] -> node labels of `level` (0 = finest), same shape.

        255 (ignore) stays 255. Raises InputError naming any other id outside the class list.
        """
        labels = np.asarray(labels)
        if labels.dtype != np.uint8:
            raise InputError(f"labels are {labels.dtype}; label maps are uint8")
        mapped = self.table(level)[labels]
        if (mapped == _UNKNOWN).any():
            unknown = np.unique(labels[mapped == _UNKNOWN]).tolist()
            last = len(self.levels[0].nodes) - 1
            raise InputError(
                f"label ids {unknown} are not in hierarchy {self.name} (0..{last} and {IGNORE})"
            )
        return mapped

    def find(self, name: str) -> tuple[int, int]:
        """(level, node id) of a node's name; of a name at several levels the finest.

        Raises InputError for an unknown name, with those that are close to it.
        """
        for depth, level in enumerate(self.levels):
            if name in level.nodes:
                return depth, level.nodes.index(name)
        names = list(dict.fromkeys(node for level in self.levels for node in level.nodes))
        close = difflib.get_close_matches(str(name), names, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
        raise InputError(f"no class {name!r} in {self.name}; {hint}")

    def flip_permutation(self, level: int) -> tuple[int, ...]:
        """For each node of `level` the node that it becomes under horizontal flip.

        At coarser levels it follows from the leaves: when two leaves swap, so do their parents.
        Raises InputError when the pairs contradict the tree.
        """
        permutation = list(range(len(self.levels[0].nodes)))
        for a, b in self.flip_pairs:
            permutation[a], permutation[b] = b, a
        for finer, coarser in zip(self.levels[:level], self.levels[1 : level + 1], strict=True):
            lifted: dict[int, int] = {}
            for node, parent in enumerate(finer.parents):
                image = finer.parents[permutation[node]]
                if lifted.setdefault(parent, image) != image:
                    raise InputError(
                        f"hierarchy {self.name}: the flip pairs move only some children of "
                        f"{coarser.nodes[parent]}"
                    )
            permutation = [lifted[node] for node in range(len(coarser.nodes))]
        return tuple(permutation)

    def palette_at(self, level: int) -> np.ndarray:
        """uint8 [nodes, 3]: a coarser node has the colour of its first leaf."""
        first_leaf = np.unique(self.table(level)[: len(self.levels[0].nodes)], return_index=True)[1]
        return np.asarray(self.palette, np.uint8)[first_leaf]

    def leaves_only(self) -> "Hierarchy":
        """The same leaves without the coarser levels (CNIF Table 6, "backbone")."""
        return dataclasses.replace(self, levels=(dataclasses.replace(self.levels[0], parents=()),))

    def to_json(self) -> dict:
        """The JSON form that `get_hierarchy` reads."""
        leaves = self.levels[0].nodes
        trees = []
        for level, coarser in itertools.zip_longest(self.levels, self.levels[1:]):
            parents = [coarser.nodes[p] for p in level.parents] or [None] * len(level.nodes)
            nodes = dict(zip(level.nodes, parents, strict=True))
            trees.append({"name": level.name, "nodes": nodes})
        return {
            "name": self.name,
            "levels": trees,
            "flip_pairs": [[leaves[a], leaves[b]] for a, b in self.flip_pairs],
            "joints": {name: [leaves[i] for i in ids] for name, ids in self.joints},
            "palette": {leaf: list(self.palette[i]) for i, leaf in enumerate(leaves)},
        }


def _problems(hierarchy: Hierarchy) -> Iterator[str]:
    """What does not fit together; a check relies on the ones before it."""
    levels = hierarchy.levels
    if not levels:
        yield "no levels; give at least the list of classes"
    for level, coarser in itertools.zip_longest(levels, levels[1:]):
        yield from (f"level {level.name}: {problem}" for problem in _level_problems(level, coarser))
    names = [level.name for level in levels]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[\w-]+", n) for n in names):
        yield f"level names {names} must differ and hold only letters, digits, - and _"
    leaves = len(levels[0].nodes)
    paired = [i for pair in hierarchy.flip_pairs for i in pair]
    if len(set(paired)) != len(paired) or any(not 0 < i < leaves for i in paired):
        yield f"flip pairs {hierarchy.flip_pairs} must name every leaf 1..{leaves - 1} at most once"
    if len(hierarchy.palette) != leaves:
        yield f"{len(hierarchy.palette)} colours, {leaves} leaves"
    for leaf, colour in zip(levels[0].nodes, hierarchy.palette, strict=True):
        _rgb(leaf, colour)
    for joint, ids in hierarchy.joints:
        if not ids or any(not 0 < i < leaves for i in ids):
            yield f"joint {joint} has leaf ids {ids}"


def _level_problems(level: Level, coarser: Level | None) -> Iterator[str]:
    nodes, parents = level.nodes, level.parents
    if not nodes or nodes[0] != "background":
        yield "the first node must be background"
    if len(set(nodes)) != len(nodes):
        yield f"a node name occurs twice in {nodes}"
    if not 2 <= len(nodes) <= _UNKNOWN:
        yield f"{len(nodes)} nodes; 2 to {_UNKNOWN} are possible"
    above = coarser.nodes if coarser else ()
    if len(parents) != (len(nodes) if coarser else 0):
        yield f"{len(parents)} parents for {len(nodes)} nodes; the coarsest level has none"
    for node, parent in zip(nodes, parents, strict=False):
        if not 0 <= parent < len(above) or (parent == 0) != (node == "background"):
            yield (
                f"node {node} has parent {parent}; background belongs to background (0), every "
                f"other node to one of 1..{len(above) - 1}"
            )
    if childless := [above[i] for i in range(len(above)) if i not in parents]:
        yield f"{childless} of level {coarser.name} have no children"


def _rgb(leaf: str, colour: object) -> tuple[int, int, int]:
    """The colour of a leaf as three whole numbers. Raises InputError when it is something else."""
    sequence = isinstance(colour, list | tuple | np.ndarray)
    if not sequence or len(colour) != 3 or not all(v in range(256) for v in colour):
        raise InputError(
            f"palette: {leaf} has colour {_short(colour)}; give red, green and blue from 0 to 255, "
            "e.g. [128, 0, 0]"
        )
    return tuple(map(int, colour))


def _colour(index: int) -> tuple[int, int, int]:
    """A colour for class `index`, as PASCAL VOC colours its classes: three bits a channel."""
    bits = (index >> np.arange(9).reshape(3, 3)) & 1  # [weight, channel]
    return tuple(([128, 64, 32] @ bits).tolist())


def shipped_hierarchies() -> tuple[str, ...]:
    """The names that `get_hierarchy` knows without a file."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def get_hierarchy(name: str) -> Hierarchy:
    """A shipped hierarchy by its name, or your own by the path of its JSON or Python file.

    Raises InputError when there is no such name or file, or when the file does not hold a
    hierarchy.
    """
    path = _SHIPPED / f"{name}.json" if name in shipped_hierarchies() else pathlib.Path(name)
    if path.suffix not in (".json", ".py") or not path.is_file():
        raise InputError(
            f"no hierarchy {name!r}; shipped are {', '.join(shipped_hierarchies())}; "
            "for your own classes give the path of a .json or .py file"
        )
    try:
        if path.suffix == ".py":
            made = run_file(path, "get_hierarchy")
            return made if isinstance(made, Hierarchy) else hierarchy_from_json(made)
        return hierarchy_from_json(json.loads(path.read_text(encoding="utf-8-sig")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); {_EXAMPLE}") from error


def hierarchy_from_json(tree: object) -> Hierarchy:
    """The inverse of `Hierarchy.to_json`; flip_pairs, joints and palette may be absent.

    Without a palette every class gets a colour of its own. Raises InputError on a malformed tree.
    """
    name = _entry("the hierarchy", tree, "name", str)
    optional = {"flip_pairs": [], "joints": {}, "palette": {}}
    known = {"name", "source", "levels", *optional}
    if unknown := sorted(map(str, tree.keys() - known)):
        raise InputError(
            f"no such entry: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    tree = optional | {key: value for key, value in tree.items() if value is not None}
    levels = _levels(_entry("the hierarchy", tree, "levels", list))
    leaves = levels[0].nodes if levels else ()

    def ids(what: str, names: Iterable) -> tuple[int, ...]:
        strange = [_short(leaf) for leaf in names if leaf not in leaves]
        if strange:
            raise InputError(f"{what}: {', '.join(strange)} is no class of the finest level")
        return tuple(map(leaves.index, names))

    pairs = _entry("the hierarchy", tree, "flip_pairs", list)
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InputError(f"flip_pairs: {_short(pair)} must be a pair of classes")
    joints = _entry("the hierarchy", tree, "joints", dict)
    palette = _entry("the hierarchy", tree, "palette", dict)
    palette = palette or {leaf: _colour(i) for i, leaf in enumerate(leaves)}
    if len(ids("palette", palette)) < len(leaves):
        missing = ", ".join(leaf for leaf in leaves if leaf not in palette)
        raise InputError(f"palette: no colour for {missing}; name all classes or leave it out")
    return Hierarchy(
        name=name,
        levels=levels,
        flip_pairs=tuple(ids("flip_pairs", pair) for pair in pairs),
        palette=tuple(_rgb(leaf, palette[leaf]) for leaf in leaves),
        joints=tuple((k, ids("joints", _entry("joints", joints, k, list))) for k in joints),
    )


def _levels(trees: list) -> tuple[Level, ...]:
    """The levels of the JSON form, with the parents' indices in place of their names."""
    levels: list[Level] = []
    for i in reversed(range(len(trees))):  # a level's parents are nodes of the level after it
        name = _entry(f"levels[{i}]", trees[i], "name", str)
        nodes = _entry(f"level {name}", trees[i], "nodes", dict)
        coarser = levels[0].nodes if levels else (None,)
        for node, parent in nodes.items():
            if not isinstance(node, str):
                raise InputError(f"level {name}: node names must be text, not {node!r}")
            if parent not in coarser:
                wanted = f"one of {', '.join(coarser)}" if levels else "null at the coarsest level"
                raise InputError(
                    f"level {name}: node {node} has parent {_short(parent)}; it must be {wanted}"
                )
        ids = tuple(map(coarser.index, nodes.values())) if levels else ()
        levels.insert(0, Level(name, tuple(nodes), ids))
    return tuple(levels)


def _entry(where: str, tree: object, key: str, kind: type) -> object:
    """`tree[key]`. Raises InputError when it is missing or not of that kind."""
    kinds = {str: "text", list: "a list", dict: "an object, {...}"}
    if not isinstance(tree, dict):
        raise InputError(f"{where} must be {kinds[dict]}, not {_short(tree)}; {_EXAMPLE}")
    if key not in tree:
        raise InputError(f"{where} has no entry {key!r}; {_EXAMPLE}")
    if not isinstance(tree[key], (list, tuple) if kind is list else kind):
        wrong = _short(tree[key])
        raise InputError(f"{where}: {key} must be {kinds[kind]}, not {wrong}; {_EXAMPLE}")
    return tree[key]


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:40]}..."
