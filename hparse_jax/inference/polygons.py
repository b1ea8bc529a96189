"""Classes as polygons, in the JSON of the annotation tool LabelMe."""

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

_TOLERANCE = 1.0  # pixels that a polygon may leave a region's outline: fewer points to edit


def labelme(
    labels: UInt8[np.ndarray, "h w"], names: tuple[str, ...], image_path: str | None
) -> dict:
    """A LabelMe file: one polygon for every connected region of every class but background.

    labels: 0 is background, i is of class names[i]. image_path: of the photo, relative to the file.
    Regions too small for a polygon (below three corners) are left out. Points are [x, y] in
    pixels, at the centres of the region's outermost pixels.
    """
    shapes = [
        {
            "label": names[i],
            "points": polygon.tolist(),
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }
        for i in np.unique(labels).tolist()
        if 0 < i < len(names)
        for polygon in polygons(labels == i)
    ]
    return {
        "version": "5.0.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": labels.shape[0],
        "imageWidth": labels.shape[1],
    }


def polygons(mask: Bool[np.ndarray, "h w"]) -> list[Int[np.ndarray, "points 2"]]:
    """The outlines of the mask's regions as (x, y); pixels that touch at a corner are one region.

    A polygon has no holes: every hole is joined to the outline around it by a seam of no width.
    """
    contours, tree = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    simple = [cv2.approxPolyDP(contour, _TOLERANCE, True)[:, 0] for contour in contours]
    found = []
    for i, outline in enumerate(simple):
        _, _, hole, parent = tree[0, i]
        if parent >= 0 or len(outline) < 3:
            continue
        while hole >= 0:  # the next of the region's holes
            if len(simple[hole]) >= 3:
                outline = _joined(outline, simple[hole])
            hole = tree[0, hole, 0]
        found.append(outline)
    return found


def _joined(
    outline: Int[np.ndarray, "m 2"], hole: Int[np.ndarray, "n 2"]
) -> Int[np.ndarray, "k 2"]:
    """The outline that walks to the hole where they are closest, around it, and back."""
    apart = ((outline[:, None] - hole[None]) ** 2).sum(-1)
    here, there = np.unravel_index(apart.argmin(), apart.shape)
    around = np.roll(hole, -there, axis=0)
    return np.concatenate([outline[: here + 1], around, around[:1], outline[here:]])
