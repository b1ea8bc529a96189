"""A folder in Clothing Co-Parsing's layout with a handful of tiny photos."""

import pathlib

import cv2
import numpy as np
import scipy.io

LABEL_LIST = ("null", "t-shirt", "cape", "skin", "jeans", "kimono")
SIZES = ((40, 30), (37, 29), (150, 90), (24, 50), (64, 64), (33, 48), (130, 97))


def write_photo(raw: pathlib.Path, photo_id: str, size: tuple[int, int], ids=(0, 1, 3, 4)) -> None:
    """A photo of vertical stripes, one for each label id."""
    stripe = np.arange(size[1]) * len(ids) // size[1]
    labels = np.broadcast_to(np.array(ids, np.uint8)[stripe], size)
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0] = 40 * labels
    image[..., 1] = 7 * int(photo_id)
    cv2.imwrite(str(raw / "photos" / f"{photo_id}.jpg"), image)
    write_labels(raw, photo_id, labels)


def write_labels(raw: pathlib.Path, photo_id: str, labels: np.ndarray) -> None:
    path = raw / "annotations" / "pixel-level" / f"{photo_id}.mat"
    scipy.io.savemat(path, {"groundtruth": np.ascontiguousarray(labels)})


def write_raw(raw: pathlib.Path) -> pathlib.Path:
    for folder in ("photos", "annotations/pixel-level", "splits"):
        (raw / folder).mkdir(parents=True)
    cells = np.empty((1, len(LABEL_LIST)), object)
    cells[0] = LABEL_LIST
    scipy.io.savemat(raw / "label_list.mat", {"label_list": cells})
    ids = [f"{i:04d}" for i in range(1, len(SIZES) + 1)]
    for photo_id, size in zip(ids, SIZES, strict=True):
        write_photo(raw, photo_id, size)
    (raw / "splits" / "train.txt").write_text("\n".join(ids[:5]))
    (raw / "splits" / "val.txt").write_text("\n".join(ids[5:]))
    return raw
