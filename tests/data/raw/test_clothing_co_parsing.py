"""Clothing Co-Parsing arrives unchanged: labels read again by SciPy and the published table."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import scipy.io
from raw_folders import SHARED, assert_holds, records, write

from hparse_jax.data.build import build

CCP = SHARED / "data" / "clothing-co-parsing"
CCP_TABLE = SHARED / "reference" / "ccp_to_fashion18.json"


@pytest.mark.skipif(
    not (CCP.is_dir() and CCP_TABLE.is_file()),
    reason="needs ../shared/data/clothing-co-parsing and ../shared/reference beside the checkout",
)
def test_clothing_co_parsing_arrives_unchanged(tmp_path):
    raw = tmp_path / "clothing-co-parsing"
    table = json.loads(CCP_TABLE.read_text())
    label_list = scipy.io.loadmat(CCP / "label_list.mat")["label_list"]
    names = [str(cell[0]) for cell in label_list.flat]
    class_of = dict(zip(table["ccp_labels"], table["lut_ccp59_to_18"], strict=True))
    to_class = np.array([class_of[name] for name in names])
    (raw / "annotations" / "pixel-level").mkdir(parents=True)
    (raw / "photos").mkdir()
    shutil.copy(CCP / "label_list.mat", raw)
    expected, ids = {}, sorted(path.stem for path in (CCP / "photos").iterdir())[:9]
    for photo_id in ids:
        label = pathlib.Path("annotations", "pixel-level", f"{photo_id}.mat")
        photo = CCP / "photos" / f"{photo_id}.jpg"
        shutil.copy(photo, raw / "photos")
        shutil.copy(CCP / label, raw / label)
        expected[photo_id] = (photo, to_class[scipy.io.loadmat(CCP / label)["groundtruth"]])
    write(raw / "splits" / "train.txt", "\n".join(ids[:6]))
    write(raw / "splits" / "val.txt", "\n".join(ids[6:]))
    build("fashion_clothing", tmp_path / "data", tmp_path)
    for split, own in (("train", ids[:6]), ("val", ids[6:])):
        built = records(tmp_path / "data", "fashion_clothing", split)
        assert_holds(built, {i: expected[i] for i in own})
