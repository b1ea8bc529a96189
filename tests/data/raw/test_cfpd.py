"""CFPD's superpixels become classes; photos arrive byte for byte."""

import numpy as np
from raw_folders import CFPD, assert_holds, cfpd_photo, jpeg, records, write, write_cfpd

from hparse_jax.data.build import build


def cfpd_classes(superpixels: np.ndarray, categories: np.ndarray) -> np.ndarray:
    ids = list(CFPD.values())
    return np.array([[ids[categories[s] - 1] for s in row] for row in superpixels])


def test_cfpds_superpixels_become_classes(tmp_path):
    raw = tmp_path / "raw"
    truths = {f"{i}.jpg": cfpd_photo(i) for i in range(3)}
    write_cfpd(raw / "CFPD" / "fashon_parsing_data.mat", truths)
    expected = {}
    for i, (name, truth) in enumerate(truths.items()):
        photo = write(raw / "CFPD" / "image" / name, jpeg((6, 4), i))
        expected[f"cfpd_{i}"] = (photo, cfpd_classes(*truth))
    build("fashion_clothing", tmp_path / "data", raw)
    built = records(tmp_path / "data", "fashion_clothing", "train")
    assert len(built) == 2
    assert_holds(built | records(tmp_path / "data", "fashion_clothing", "val"), expected)
