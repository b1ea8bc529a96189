"""Clothing Co-Parsing, CFPD and Fashionista, alone and together: photos arrive byte for byte.

The labels are read again by SciPy and the published table, or follow from what was drawn.
"""

import json
import pathlib
import shutil

import h5py
import numpy as np
import pytest
import scipy.io
from ccp_folder import write_photo, write_raw
from raw_folders import (
    assert_holds,
    jpeg,
    metadata,
    png,
    records,
    structs,
    write,
)

from hparse_jax.data.build import build

SHARED = pathlib.Path(__file__).parents[3] / "shared"
CCP = SHARED / "data" / "clothing-co-parsing"
CCP_TABLE = SHARED / "reference" / "ccp_to_fashion18.json"

needs_ccp = pytest.mark.skipif(
    not (CCP.is_dir() and CCP_TABLE.is_file()),
    reason="needs ../shared/data/clothing-co-parsing and ../shared/reference beside the checkout",
)


@needs_ccp
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


# CFPD's categories and the ids of their classes in Fashion Clothing
CFPD = {
    "bk": 0, "T-shirt": 10, "bag": 2, "belt": 4, "blazer": 13, "blouse": 10, "coat": 3, "dress": 5,
    "face": 11, "hair": 7, "hat": 17, "jeans": 8, "legging": 8, "pants": 8, "scarf": 15, "shoe": 9,
    "shorts": 8, "skin": 11, "skirt": 12, "socks": 16, "stocking": 16, "sunglass": 6, "sweater": 13,
}  # fmt: skip


def write_cfpd(mat: pathlib.Path, photos: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """As MATLAB 7.3 does it: transposed arrays, texts as uint16, cells as references.

    photos: name -> (superpixels from 0, category of each superpixel from 1).
    """
    mat.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(mat, "w") as file:
        hidden = file.create_group("#refs#")

        def text(group, name: str, value: str) -> h5py.Dataset:
            return group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))

        def cells(name: str, contents: list) -> None:
            references = np.array([[item.ref] for item in contents], h5py.ref_dtype)
            file.create_dataset(name, data=references, dtype=h5py.ref_dtype)

        cells("all_category_name", [text(hidden, f"n{i}", n) for i, n in enumerate(CFPD)])
        entries = []
        for i, (name, (superpixels, categories)) in enumerate(photos.items()):
            entry = hidden.create_group(f"e{i}")
            text(entry, "img_name", name)
            entry.create_dataset("segmentation", data=superpixels.T.astype(float))
            entry.create_dataset("category_label", data=categories[None].astype(float))
            entries.append(entry)
        cells("fashion_dataset", entries)


def cfpd_photo(seed: int, size=(6, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Superpixels and the categories of all 23."""
    rng = np.random.default_rng(seed)
    superpixels = rng.permutation(24).reshape(size)
    return superpixels, rng.permutation(np.append(np.arange(1, 24), 1))


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


FASHIONISTA = ("null", "skin", "purse", "tie", "cape")  # a list of its own, unlike CCP's
FASHIONISTA_CLASSES = (0, 11, 2, 13)


def write_fashionista(
    mat: pathlib.Path, photos: list[tuple[bytes, np.ndarray, np.ndarray]]
) -> None:
    """photos: (file, superpixels from 1, label of each superpixel from 1)."""
    names = np.empty((len(FASHIONISTA), 1), object)
    names[:, 0] = FASHIONISTA
    truths = [
        {
            "image": np.frombuffer(photo, np.uint8)[:, None],
            "annotation": structs(
                [
                    {
                        "superpixel_map": np.frombuffer(png(superpixels), np.uint8)[:, None],
                        "superpixel_labels": labels[:, None].astype(float),
                        "labels": names,
                    }
                ]
            ),
        }
        for photo, superpixels, labels in photos
    ]
    mat.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(mat, {"truths": structs(truths)})


def fashionista_photo(seed: int, size=(3, 7)) -> tuple[bytes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    superpixels = (rng.permutation(21).reshape(size) // 3 + 1).astype(np.uint8)  # 1 to 7
    return jpeg(size, seed), superpixels, rng.permutation([1, 2, 3, 4, 4, 3, 2])


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


@pytest.fixture
def three(tmp_path):
    """CCP's seven photos and three more, 20 of CFPD and 10 of Fashionista, without lists."""
    raw = tmp_path / "three"
    ccp = write_raw(raw / "clothing-co-parsing")
    shutil.rmtree(ccp / "splits")
    for i in (8, 9, 10):
        write_photo(ccp, f"{i:04d}", (9, 11))
    truths = {f"{i}.jpg": cfpd_photo(i) for i in range(20)}
    write_cfpd(raw / "CFPD" / "fashon_parsing_data.mat", truths)
    for i, name in enumerate(truths):
        write(raw / "CFPD" / "images" / name, jpeg((6, 4), i))
    photos = [fashionista_photo(seed) for seed in range(10)]
    write_fashionista(raw / "Fashionista" / "fashionista_v0.2.1.mat", photos)
    return raw


def by_part(ids) -> list[int]:
    """How many ids come from CCP, CFPD and Fashionista."""
    starts = ["cfpd_", "fashionista_"]
    named = [sum(i.startswith(start) for i in ids) for start in starts]
    return [len(ids) - sum(named), *named]


def test_each_of_the_three_parts_gives_a_tenth_for_validation(three, tmp_path):
    build("fashion_clothing", tmp_path / "data", three)
    built = {s: records(tmp_path / "data", "fashion_clothing", s) for s in ("train", "val")}
    assert by_part(built["val"]) == [1, 2, 1]
    assert by_part(built["train"]) == [9, 18, 9]
    counts = metadata(tmp_path / "data", "fashion_clothing")["parts"]
    assert counts == {"ccp": 10, "cfpd": 20, "fashionista": 10}


def test_lists_beside_the_three_parts_choose_from_all_of_them(three, tmp_path):
    lists = {"train": ["0001", "cfpd_7", "fashionista_010"], "val": ["cfpd_19", "0010"]}
    for split, ids in lists.items():
        write(three / "splits" / f"{split}.txt", "\n".join(ids))
    build("fashion_clothing", tmp_path / "data", three)
    for split, ids in lists.items():
        assert set(records(tmp_path / "data", "fashion_clothing", split)) == set(ids)
