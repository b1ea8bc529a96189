"""COCO's form of label maps: compressed run-lengths, annotations, and categories of a hierarchy.

A COCO run-length code reads a mask column by column: pixels outside, pixels inside, and so on. From
the fourth number on the difference to the number two places before is stored; every number is
written in groups of five bits, lowest first, a character each: 48 + bits, + 32 when more follow.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Int, UInt8

from hparse_jax.hierarchy import Hierarchy

_LEVEL = 1000  # category id = node id + 1000 * level; a level has at most 254 nodes


def run_lengths(mask: Bool[np.ndarray, "h w"]) -> dict:
    """A mask as {"size": [h, w], "counts": text}, which pycocotools decodes."""
    starts, ends, inside = _runs(mask)
    return _encoded(starts[inside], ends[inside], mask.shape)


def head(hierarchy: Hierarchy) -> dict:
    """The entries of a COCO file beside its images and annotations."""
    info = {"description": f"Human parsing by hparse_jax, classes of {hierarchy.name}"}
    return {"info": info, "licenses": [], "categories": categories(hierarchy)}


def categories(hierarchy: Hierarchy) -> list[dict]:
    """The nodes of every level as COCO categories {"id", "name", "supercategory"}.

    id = node id + 1000 * level, level 0 is the finest. supercategory: the node's parent, at the
    coarsest level the node itself. Background is what no annotation covers, no category.
    """
    found = []
    for depth, level in enumerate(hierarchy.levels):
        above = hierarchy.levels[depth + 1].nodes if level.parents else level.nodes
        parents = level.parents or range(len(level.nodes))
        for node, (name, parent) in enumerate(zip(level.nodes, parents, strict=True)):
            if node:
                entry = {"id": node + _LEVEL * depth, "name": name, "supercategory": above[parent]}
                found.append(entry)
    return found


def annotations(
    levels: Sequence[UInt8[np.ndarray, "h w"]],
    hierarchy: Hierarchy,
    image_id: int = 1,
    first_id: int = 1,
    classes: Collection[str] | None = None,
) -> list[dict]:
    """One COCO annotation for every node that is found at every level of a photo.

    levels: node ids, finest level first. Annotations are numbered from first_id on. classes: names
    of the nodes to list, by default all but background. bbox is [x, y, width, height] in pixels.
    """
    found = []
    for depth, (level, labels) in enumerate(zip(hierarchy.levels, levels, strict=True)):
        starts, ends, nodes = _runs(labels)
        for node in np.unique(nodes).tolist():
            wanted = 0 < node < len(level.nodes)
            if not wanted or (classes is not None and level.nodes[node] not in classes):
                continue
            own = nodes == node
            found.append(
                {
                    "id": first_id + len(found),
                    "image_id": image_id,
                    "category_id": node + _LEVEL * depth,
                    "segmentation": _encoded(starts[own], ends[own], labels.shape),
                    "area": int((ends[own] - starts[own]).sum()),
                    "bbox": _box(starts[own], ends[own] - 1, labels.shape[0]),
                    "iscrowd": 0,
                }
            )
    return found


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column by column: where every run of equal values starts, where it ends, and its value."""
    flat = values.ravel(order="F")
    bounds = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    return bounds[:-1], bounds[1:], flat[bounds[:-1]]


def _encoded(
    starts: Int[np.ndarray, " runs"], ends: Int[np.ndarray, " runs"], size: tuple[int, int]
) -> dict:
    pixels = size[0] * size[1]
    edges = np.stack([starts, ends], axis=1).ravel()
    if not edges.size or edges[-1] < pixels:
        edges = np.append(edges, pixels)
    numbers = np.diff(edges, prepend=0)
    numbers[3:] -= numbers[1:-2].copy()
    groups = numbers[:, None] >> 5 * np.arange(8)  # of a number; 40 bits are enough
    # the last group is the first whose sign bit and everything above it agree
    rest = groups >> 4
    last = ((rest == 0) | (rest == -1)).argmax(axis=1)[:, None]
    place = np.arange(8)
    characters = 48 + (groups & 31) + 32 * (place < last)
    counts = characters[place <= last].astype(np.uint8).tobytes().decode()
    return {"size": [int(side) for side in size], "counts": counts}


def _box(first: np.ndarray, last: np.ndarray, height: int) -> list[int]:
    """[x, y, width, height] around runs from `first` to `last`, both inclusive."""
    x0, x1 = int(first.min()) // height, int(last.max()) // height
    y0, y1 = int((first % height).min()), int((last % height).max())
    if (first // height != last // height).any():  # a run goes on into the next column
        y0, y1 = 0, height - 1
    return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]
