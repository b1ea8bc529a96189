import json
import pathlib
import shutil

import cv2
import numpy as np
import pytest
import scipy.io
from ccp_folder import LABEL_LIST, write_labels, write_photo

from hparse_jax.config import Config
from hparse_jax.data.build import build
from hparse_jax.data.builders.fashion_clothing import CLASS_OF, find_raw, scan
from hparse_jax.data.stream import open_split
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

SHARED = pathlib.Path(__file__).parents[3] / "shared"


def label_path(raw, photo_id):
    return raw / "annotations" / "pixel-level" / f"{photo_id}.mat"


def test_records_hold_the_photo_verbatim_and_the_mapped_labels(raw, tmp_path):
    build("fashion_clothing", tmp_path / "data", raw)
    config = Config(dataset="fashion_clothing", data_dir=str(tmp_path / "data"))
    # shirt, skin and pants by their place in the list of CNIF's 18 classes
    class_of = {0: 0, 1: 10, 3: 11, 4: 8}
    seen = set()
    for split in ("train", "val"):
        source = open_split(config, split)
        for record in (source[i] for i in range(len(source))):
            photo_id = record["id"].decode()
            assert record["image"] == (raw / "photos" / f"{photo_id}.jpg").read_bytes()
            labels = cv2.imdecode(np.frombuffer(record["label"], np.uint8), cv2.IMREAD_UNCHANGED)
            truth = scipy.io.loadmat(label_path(raw, photo_id))["groundtruth"]
            np.testing.assert_array_equal(labels, np.vectorize(class_of.get)(truth))
            seen.add((split, photo_id))
    assert seen == {("train", f"000{i}") for i in range(1, 6)} | {("val", "0006"), ("val", "0007")}


def test_the_class_map_names_classes_of_the_hierarchy():
    assert set(CLASS_OF.values()) == set(get_hierarchy("fashion_clothing").levels[0].nodes)


def test_the_class_map_is_the_published_one():
    path = SHARED / "reference" / "ccp_to_fashion18.json"
    if not path.is_file():
        pytest.skip("needs reference/ccp_to_fashion18.json beside the checkout")
    tree = json.loads(path.read_text())
    pairs = zip(tree["ccp_labels"], tree["lut_ccp59_to_18"], strict=True)
    assert {name: tree["classes18"][i] for name, i in pairs if i != 255} == CLASS_OF


def test_photos_with_a_label_without_class_are_left_out_and_counted(raw):
    cape, kimono = LABEL_LIST.index("cape"), LABEL_LIST.index("kimono")
    write_photo(raw, "0002", (40, 30), (0, cape, 3))
    write_photo(raw, "0006", (40, 30), (0, cape, kimono))
    found = scan(raw)
    assert found.splits == {"train": ["0001", "0003", "0004", "0005"], "val": ["0007"]}
    assert found.dropped == 2
    assert found.unmapped == {"cape": 2, "kimono": 1}


def test_without_lists_a_tenth_is_for_validation(raw):
    shutil.rmtree(raw / "splits")
    for i in range(8, 31):
        write_photo(raw, f"{i:04d}", (20, 20))
    found = scan(raw)
    assert (len(found.splits["train"]), len(found.splits["val"])) == (27, 3)
    together = sorted(found.splits["train"] + found.splits["val"])
    assert together == [f"{i:04d}" for i in range(1, 31)]
    assert scan(raw).splits == found.splits


def test_photos_with_tags_only_are_left_out(raw):
    shutil.rmtree(raw / "splits")
    shutil.copy(raw / "photos" / "0001.jpg", raw / "photos" / "1005.jpg")
    (raw / "annotations" / "image-level").mkdir()
    (raw / "annotations" / "image-level" / "1005.mat").write_bytes(b"")
    found = scan(raw)
    assert found.tags_only == 1
    assert "1005" not in found.splits["train"] + found.splits["val"]


def test_the_raw_folder_or_its_parent(raw):
    assert find_raw(raw) == find_raw(raw.parent) == raw
    with pytest.raises(InputError, match="no folder photos/"):
        find_raw(raw.parent.parent)


def no_photos(raw):
    shutil.rmtree(raw / "photos")
    (raw / "photos").mkdir()
    return ("photos", "no .jpg")


def no_label(raw):
    label_path(raw, "0003").unlink()
    return ("photos/0003.jpg", "has no label")


def no_annotations(raw):
    shutil.rmtree(raw / "annotations")
    return ("photos/0001.jpg", "has no label")


def no_photo(raw):
    (raw / "photos" / "0003.jpg").unlink()
    return ("0003.mat", "has no photo")


def other_size(raw):
    write_labels(raw, "0003", np.zeros((149, 90), np.uint8))
    return ("0003.mat", "149 x 90", "150 x 90")


def id_out_of_range(raw):
    labels = np.zeros((24, 50), np.uint8)
    labels[3, 4] = len(LABEL_LIST)
    write_labels(raw, "0004", labels)
    return ("0004.mat", f"label id {len(LABEL_LIST)}", "label_list.mat")


def fractions(raw):
    write_labels(raw, "0004", np.full((24, 50), 0.5))
    return ("0004.mat", "float64")


def truncated_photo(raw):
    path = raw / "photos" / "0003.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return ("0003.jpg", "not a whole JPEG", "truncated")


def no_jpeg(raw):
    (raw / "photos" / "0007.jpg").write_bytes(b"<html>404</html>")
    return ("0007.jpg", "not a whole JPEG")


def broken_label(raw):
    path = label_path(raw, "0005")
    path.write_bytes(path.read_bytes()[:150])
    return ("0005.mat", "not a readable MATLAB file")


def other_label_file(raw):
    scipy.io.savemat(label_path(raw, "0005"), {"labels": np.zeros((2, 2), np.uint8)})
    return ("0005.mat", "holds no groundtruth")


def no_label_list(raw):
    (raw / "label_list.mat").unlink()
    return ("label_list.mat", "missing")


def list_names_missing_photo(raw):
    (raw / "splits" / "train.txt").write_text("0001\n0042\n")
    return ("train.txt", "lists 0042")


def photo_in_both_lists(raw):
    (raw / "splits" / "val.txt").write_text("0001\n0007\n")
    return ("val.txt", "lists 0001", "train.txt")


def empty_list(raw):
    (raw / "splits" / "val.txt").write_text("\n")
    return ("val.txt", "lists no photo")


def one_list_only(raw):
    (raw / "splits" / "val.txt").unlink()
    return ("val.txt", "missing")


def all_left_out(raw):
    for photo_id in ("0006", "0007"):
        write_photo(raw, photo_id, (40, 30), (0, LABEL_LIST.index("cape")))
    return ("split val has no photos", "2 left out")


@pytest.mark.parametrize(
    "damage",
    [
        no_photos,
        no_label,
        no_annotations,
        no_photo,
        other_size,
        id_out_of_range,
        fractions,
        truncated_photo,
        no_jpeg,
        broken_label,
        other_label_file,
        no_label_list,
        list_names_missing_photo,
        photo_in_both_lists,
        empty_list,
        one_list_only,
        all_left_out,
    ],
)
def test_a_bad_folder_is_one_clear_line_and_leaves_nothing_behind(raw, tmp_path, damage):
    expected = damage(raw)
    with pytest.raises(InputError) as caught:
        build("fashion_clothing", tmp_path / "data", raw)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in expected), message
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    with pytest.raises(InputError, match="no built dataset"):
        open_split(Config(dataset="fashion_clothing", data_dir=str(tmp_path / "data")), "train")


def test_the_real_folder_scans():
    raw = SHARED / "data" / "clothing-co-parsing"
    if not raw.is_dir():
        pytest.skip("needs data/clothing-co-parsing beside the checkout")
    found = scan(raw)
    assert {name: len(ids) for name, ids in found.splits.items()} == {"train": 751, "val": 83}
