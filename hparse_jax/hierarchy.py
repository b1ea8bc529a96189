"""The body as data: levels of nodes, their parents, left/right pairs, colours and joints.

A hierarchy is a JSON file: class names with the parent of each, level by level. The shipped ones
lie in `hparse_jax/hierarchies/`; a file of the same form describes anyone's own classes and tree,
and so does a Python file whose `get_hierarchy()` returns a `Hierarchy` or a dict of that form.
Whatever follows from a tree (label maps, swaps, palettes of the coarser levels) is derived here.
"""

import dataclasses
import functools
import json
import pathlib
import re
import runpy

import numpy as np

from hparse_jax.errors import InputError

IGNORE = 255  # the label of pixels that do not count: padding and unlabelled pixels
_UNKNOWN = 254  # marks ids outside the class list in the look-up tables
_SHIPPED = pathlib.Path(__file__).parent / "hierarchies"


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

    levels: finest first. flip_pairs: pairs of leaf ids that trade places in a mirrored image.
    palette: one RGB colour per leaf id. joints: (name, leaf ids) of the regions whose centres
    stand for joints (LIP section 4); empty when the classes define none.
    Raises InputError when the parts do not fit together.
    """

    name: str
    levels: tuple[Level, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    joints: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __post_init__(self):
        if not self.levels:
            raise InputError(f"hierarchy {self.name}: no levels; give at least the list of classes")
        for level, coarser in zip(self.levels, (*self.levels[1:], None), strict=True):
            _check_level(self.name, level, coarser)
        names = [level.name for level in self.levels]
        if len(set(names)) != len(names) or not all(re.fullmatch(r"[\w-]+", n) for n in names):
            raise InputError(
                f"hierarchy {self.name}: level names {names} must differ and hold only letters, "
                "digits, - and _"
            )
        leaves = len(self.levels[0].nodes)
        paired = [i for pair in self.flip_pairs for i in pair]
        if len(set(paired)) != len(paired) or any(not 0 < i < leaves for i in paired):
            raise InputError(
                f"hierarchy {self.name}: flip pairs {self.flip_pairs} must name every leaf "
                f"1..{leaves - 1} at most once"
            )
        if len(self.palette) != leaves or any(
            len(colour) != 3 or not all(v in range(256) for v in colour) for colour in self.palette
        ):
            raise InputError(
                f"hierarchy {self.name}: the palette must hold one RGB colour (0..255) for each "
                f"of the {leaves} leaves"
            )
        for joint, ids in self.joints:
            if not ids or any(not 0 < i < leaves for i in ids):
                raise InputError(f"hierarchy {self.name}: joint {joint} has leaf ids {ids}")
        for depth in range(len(self.levels)):
            self.flip_permutation(depth)

    def table(self, level: int) -> np.ndarray:
        """uint8 [256]: leaf id -> node id at `level`; 255 -> 255, every unknown id -> 254."""
        return _table(self, level)

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

    def flip_permutation(self, level: int) -> tuple[int, ...]:
        """For each node of `level` the node that takes its place in a mirrored image.

        At coarser levels it follows from the leaves: when two leaves trade places, so do their
        parents. Raises InputError when the pairs contradict the tree.
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
        """uint8 [nodes, 3]: a coarser node wears the colour of its first leaf, so all differ."""
        first_leaf = np.unique(self.table(level)[: len(self.levels[0].nodes)], return_index=True)[1]
        return np.asarray(self.palette, np.uint8)[first_leaf]

    def children(self, level: int) -> tuple[tuple[int, ...], ...]:
        """For each node of `level` >= 1 the ids of its children in the next finer level."""
        parents = self.levels[level - 1].parents
        return tuple(
            tuple(child for child, parent in enumerate(parents) if parent == node)
            for node in range(len(self.levels[level].nodes))
        )

    def leaves_only(self) -> "Hierarchy":
        """The same leaves without the coarser levels (Table 6, "backbone")."""
        return dataclasses.replace(self, levels=(dataclasses.replace(self.levels[0], parents=()),))

    def to_json(self) -> dict:
        """The JSON form that `get_hierarchy` reads."""
        leaves = self.levels[0].nodes
        levels = []
        for level, coarser in zip(self.levels, (*self.levels[1:], None), strict=True):
            parents = (
                [coarser.nodes[p] for p in level.parents] if coarser else [None] * len(level.nodes)
            )
            levels.append(
                {"name": level.name, "nodes": dict(zip(level.nodes, parents, strict=True))}
            )
        return {
            "name": self.name,
            "levels": levels,
            "flip_pairs": [[leaves[a], leaves[b]] for a, b in self.flip_pairs],
            "joints": {name: [leaves[i] for i in ids] for name, ids in self.joints},
            "palette": {
                leaf: list(map(int, colour))
                for leaf, colour in zip(leaves, self.palette, strict=True)
            },
        }


def _check_level(name: str, level: Level, coarser: Level | None) -> None:
    where = f"hierarchy {name}, level {level.name}"
    if not level.nodes or level.nodes[0] != "background":
        raise InputError(f"{where}: the first node must be background")
    if len(set(level.nodes)) != len(level.nodes):
        raise InputError(f"{where}: a node name occurs twice in {level.nodes}")
    if not 2 <= len(level.nodes) <= _UNKNOWN:
        raise InputError(f"{where}: {len(level.nodes)} nodes; 2 to {_UNKNOWN} are possible")
    if coarser is None:
        if level.parents:
            raise InputError(f"{where}: the root level has no parents")
        return
    if len(level.parents) != len(level.nodes):
        raise InputError(f"{where}: {len(level.parents)} parents for {len(level.nodes)} nodes")
    for node, parent in zip(level.nodes, level.parents, strict=True):
        if not 0 <= parent < len(coarser.nodes) or (parent == 0) != (node == "background"):
            raise InputError(
                f"{where}: node {node} has parent {parent}; background belongs to background (0), "
                f"every other node to one of 1..{len(coarser.nodes) - 1}"
            )
    childless = set(range(len(coarser.nodes))) - set(level.parents)
    if childless:
        names = [coarser.nodes[i] for i in sorted(childless)]
        raise InputError(f"hierarchy {name}, level {coarser.name}: {names} have no children")


@functools.lru_cache(maxsize=256)
def _table(hierarchy: Hierarchy, level: int) -> np.ndarray:
    if not 0 <= level < len(hierarchy.levels):
        raise InputError(
            f"level {level}: hierarchy {hierarchy.name} has levels 0..{len(hierarchy.levels) - 1}"
        )
    table = np.full(256, _UNKNOWN, np.uint8)
    ids = np.arange(len(hierarchy.levels[0].nodes))
    for finer in hierarchy.levels[:level]:
        ids = np.asarray(finer.parents)[ids]
    table[: len(ids)] = ids
    table[IGNORE] = IGNORE
    table.setflags(write=False)
    return table


def _colour(index: int) -> tuple[int, int, int]:
    """A colour for class `index`, as PASCAL VOC colours its classes.

    Bit k of the index's base-8 digit d goes to channel k, the more weight the smaller d.
    """
    colour = [0, 0, 0]
    for digit in range(3):
        for channel in range(3):
            colour[channel] |= (index >> (3 * digit + channel) & 1) << (7 - digit)
    return colour[0], colour[1], colour[2]


def shipped_hierarchies() -> tuple[str, ...]:
    """The names that `get_hierarchy` knows without a file."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def get_hierarchy(name: str) -> Hierarchy:
    """A shipped hierarchy by its name, or one's own by the path of its JSON file.

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
        if path.suffix == ".json":
            return hierarchy_from_json(json.loads(path.read_text(encoding="utf-8-sig")))
        made = runpy.run_path(str(path))["get_hierarchy"]()
        return made if isinstance(made, Hierarchy) else hierarchy_from_json(dict(made))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:  # a Python file is a program: it can end in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path}: not a hierarchy ({reason})") from error


def hierarchy_from_json(tree: dict) -> Hierarchy:
    """The inverse of `Hierarchy.to_json`; flip_pairs, joints and palette may be absent.

    Without a palette every class gets a colour of its own. Raises InputError or KeyError on a
    malformed tree.
    """
    known = {"name", "source", "levels", "flip_pairs", "joints", "palette"}
    unknown = sorted(set(tree) - known)
    if unknown:
        raise InputError(
            f"no such entry: {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    names = [list(level["nodes"]) for level in tree["levels"]]
    if not names:
        raise InputError(f"hierarchy {tree['name']}: no levels; give at least the list of classes")
    levels = []
    for depth, level in enumerate(tree["levels"]):
        parents: tuple[int, ...] = ()
        if depth + 1 < len(names):
            missing = [p for p in level["nodes"].values() if p not in names[depth + 1]]
            if missing:
                raise InputError(
                    f"level {level['name']}: parents {missing} are not nodes of level "
                    f"{tree['levels'][depth + 1]['name']}"
                )
            parents = tuple(names[depth + 1].index(p) for p in level["nodes"].values())
        levels.append(Level(level["name"], tuple(names[depth]), parents))
    leaf_id = {leaf: i for i, leaf in enumerate(names[0])}
    for what, used in (
        ("flip_pairs", [leaf for pair in tree.get("flip_pairs", ()) for leaf in pair]),
        ("joints", [leaf for leaves in tree.get("joints", {}).values() for leaf in leaves]),
        ("palette", list(tree.get("palette", ()))),
    ):
        strange = [leaf for leaf in used if leaf not in leaf_id]
        if strange:
            raise InputError(
                f"{what}: {', '.join(map(str, strange))} is no class of the finest level"
            )
    colourless = [leaf for leaf in leaf_id if tree.get("palette") and leaf not in tree["palette"]]
    if colourless:
        raise InputError(
            f"palette: no colour for {', '.join(colourless)}; name all or leave it out"
        )
    palette = tree.get("palette") or {leaf: _colour(i) for leaf, i in leaf_id.items()}
    return Hierarchy(
        name=tree["name"],
        levels=tuple(levels),
        flip_pairs=tuple((leaf_id[a], leaf_id[b]) for a, b in tree.get("flip_pairs", ())),
        palette=tuple(tuple(palette[leaf]) for leaf in names[0]),
        joints=tuple(
            (joint, tuple(leaf_id[leaf] for leaf in leaves))
            for joint, leaves in tree.get("joints", {}).items()
        ),
    )
