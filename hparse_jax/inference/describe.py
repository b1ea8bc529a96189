"""What was found in a photo, as JSON: classes, shares, boxes and gates."""

import cv2
import numpy as np
from jaxtyping import Bool

from hparse_jax.inference.result import Result


def describe(result: Result) -> dict:
    """What was found in a photo, ready for JSON.

    {"height", "width", "box_format", "levels": [{"name", "classes": [{"name", "id", "share", "box",
    "largest_box"}], "gates": {node: {source: gate}}}]}. share: fraction of the photo's pixels, four
    digits. box: around all pixels of the class; largest_box: around its largest connected region
    (pixels that touch at a side or a corner). Only classes that were found are listed.
    """
    height, width = result.labels.shape
    levels = []
    for level, labels, gates in zip(
        result.hierarchy.levels, result.levels, result.gates, strict=True
    ):
        # row by row: bincount makes 64 bits of every label
        counts = sum(np.bincount(row, minlength=len(level.nodes)) for row in labels)
        shares = counts / labels.size
        classes = [
            {"name": level.nodes[i], "id": i, "share": round(float(shares[i]), 4)}
            | _boxes(labels == i)
            for i in np.flatnonzero(shares).tolist()
        ]
        confidence = {
            node: {
                source: round(float(values[i]), 6)
                for source, values in gates.items()
                if i or source == "direct"  # background has direct inference only
            }
            for i, node in enumerate(level.nodes)
            if gates
        }
        levels.append({"name": level.name, "classes": classes, "gates": confidence})
    return {
        "height": height,
        "width": width,
        "box_format": "x0, y0, x1, y1 in pixels; x1 and y1 exclusive",
        "levels": levels,
    }


def _boxes(mask: Bool[np.ndarray, "h w"]) -> dict[str, list[int]]:
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8)
    _, _, regions, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    left, top, width, height, _ = regions[1 + regions[1:, cv2.CC_STAT_AREA].argmax()]
    largest = (x0 + left, y0 + top, x0 + left + width, y0 + top + height)
    return {"box": [int(v) for v in (x0, y0, x1, y1)], "largest_box": [int(v) for v in largest]}
