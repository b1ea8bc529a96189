"""Fashionista's superpixels become classes; photos arrive byte for byte."""

import numpy as np
from raw_folders import (
    FASHIONISTA_CLASSES,
    assert_holds,
    fashionista_photo,
    jpeg,
    metadata,
    records,
    write,
    write_fashionista,
)

from hparse_jax.data.build import build


def test_fashionistas_superpixels_become_classes(tmp_path):
    raw = tmp_path / "raw"
    photos = [fashionista_photo(seed) for seed in range(3)]
    photos.append((jpeg((3, 7)), np.ones((3, 7), np.uint8), np.array([5])))  # a cape: no class
    write_fashionista(raw / "fashionista_v0.2.1.mat", photos)
    expected = {}
    for i, (photo, superpixels, labels) in enumerate(photos[:3], 1):
        path = write(tmp_path / f"{i}.jpg", photo)
        classes = [[FASHIONISTA_CLASSES[labels[s - 1] - 1] for s in row] for row in superpixels]
        expected[f"fashionista_00{i}"] = (path, np.array(classes))
    build("fashion_clothing", tmp_path / "data", raw)
    built = records(tmp_path / "data", "fashion_clothing", "train")
    assert_holds(built | records(tmp_path / "data", "fashion_clothing", "val"), expected)
    assert metadata(tmp_path / "data", "fashion_clothing")["left_out_labels"] == {"cape": 1}
