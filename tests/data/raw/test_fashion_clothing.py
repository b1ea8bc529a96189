"""The three datasets of Fashion Clothing together, and all that can be wrong with their folders."""

import json
import shutil
from collections import Counter

import cv2
import h5py
import numpy as np
import pytest
import scipy.io
from ccp_folder import LABEL_LIST, write_labels, write_photo, write_raw
from raw_folders import (
    SHARED,
    cfpd_photo,
    fashionista_photo,
    is_built,
    jpeg,
    metadata,
    records,
    write,
    write_cfpd,
    write_fashionista,
)

from hparse_jax.data.build import build, check_raw
from hparse_jax.data.raw import cfpd
from hparse_jax.data.raw.clothing_co_parsing import CLASS_OF
from hparse_jax.data.raw.fashion_clothing import find
from hparse_jax.data.raw.records import check, split_samples
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

NAME = "fashion_clothing"


def label_path(raw, photo_id):
    return raw / "annotations" / "pixel-level" / f"{photo_id}.mat"


def good_ids(raw) -> dict[str, list[str]]:
    """The ids of each split without those that are left out."""
    source = find(raw)
    left_out = check(source).left_out
    return {
        split: sorted(s.id for s in samples if s.id not in left_out)
        for split, samples in split_samples(source).items()
    }


def test_records_hold_the_photo_verbatim_and_the_mapped_labels(raw, tmp_path):
    build(NAME, tmp_path / "data", raw)
    # shirt, skin and pants by their place in the list of CNIF's 18 classes
    class_of = {0: 0, 1: 10, 3: 11, 4: 8}
    seen = set()
    for split in ("train", "val"):
        for photo_id, (photo, labels) in records(tmp_path / "data", NAME, split).items():
            assert photo == (raw / "photos" / f"{photo_id}.jpg").read_bytes()
            truth = scipy.io.loadmat(label_path(raw, photo_id))["groundtruth"]
            np.testing.assert_array_equal(labels, np.vectorize(class_of.get)(truth))
            seen.add((split, photo_id))
    assert seen == {("train", f"000{i}") for i in range(1, 6)} | {("val", "0006"), ("val", "0007")}


def test_the_class_maps_name_classes_of_the_hierarchy():
    classes = set(get_hierarchy("fashion_clothing").levels[0].nodes)
    assert set(CLASS_OF.values()) == classes
    assert set(cfpd.CLASS_OF.values()) < classes


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
    tally = check(find(raw))
    assert good_ids(raw) == {"train": ["0001", "0003", "0004", "0005"], "val": ["0007"]}
    assert sorted(tally.left_out) == ["0002", "0006"]
    assert tally.unmapped == {"cape": 2, "kimono": 1}


def test_without_lists_10_percent_are_for_validation(raw):
    """Of the sorted ids in the order of NumPy's generator 0."""
    shutil.rmtree(raw / "splits")
    for i in range(8, 31):
        write_photo(raw, f"{i:04d}", (20, 20))
    ids = [f"{i:04d}" for i in range(1, 31)]
    order = np.random.default_rng(0).permutation(30)
    found = good_ids(raw)
    assert (len(found["train"]), len(found["val"])) == (27, 3)
    assert found["val"] == sorted(ids[i] for i in order[:3])
    assert sorted(found["train"] + found["val"]) == ids


@pytest.mark.parametrize("place", [".", "splits", "list"])
def test_the_public_lists_of_clothing_co_parsing_are_train_and_test(place, raw, tmp_path):
    """Lists called {train,test}_id.txt, without line end after the last id; test is split val."""
    shutil.rmtree(raw / "splits")
    write(raw / place / "train_id.txt", "0001\n0004\n0005")
    write(raw / place / "test_id.txt", "0002\n0007")
    build(NAME, tmp_path / "data", raw)
    built = {split: set(records(tmp_path / "data", NAME, split)) for split in ("train", "val")}
    assert built == {"train": {"0001", "0004", "0005"}, "val": {"0002", "0007"}}
    assert metadata(tmp_path / "data", NAME)["splits"] == "ccp by the lists of the raw folder"


def test_of_two_lists_of_held_out_photos_that_of_val_is_taken(raw):
    write(raw / "splits" / "test.txt", "0001\n0002")
    assert good_ids(raw)["val"] == ["0006", "0007"]


def test_photos_that_are_left_out_take_no_part_in_the_random_choice(raw):
    shutil.rmtree(raw / "splits")
    for i in range(8, 31):
        write_photo(raw, f"{i:04d}", (20, 20))
    before = good_ids(raw)
    for name in ("0000", "0012a", "0031"):
        shutil.copy(raw / "photos" / "0001.jpg", raw / "photos" / f"{name}.jpg")
        write_labels(raw, name, np.full((40, 30), LABEL_LIST.index("cape"), np.uint8))
    assert good_ids(raw) == before


def test_photos_with_tags_only_are_left_out(raw):
    shutil.rmtree(raw / "splits")
    shutil.copy(raw / "photos" / "0001.jpg", raw / "photos" / "1005.jpg")
    (raw / "annotations" / "image-level").mkdir()
    (raw / "annotations" / "image-level" / "1005.mat").write_bytes(b"")
    source = find(raw)
    assert source.problems == []
    assert source.notes["tags_only"] == 1
    assert sorted(s.id for s in source.samples) == [f"000{i}" for i in range(1, 8)]


def test_the_raw_folder_or_its_parent(raw):
    assert good_ids(raw) == good_ids(raw.parent)
    with pytest.raises(InputError, match="holds none of the three datasets"):
        find(raw.parent.parent)


def no_photos(raw):
    shutil.rmtree(raw / "photos")
    (raw / "photos").mkdir()
    return ("train.txt", "lists 0001", "no photo of it in photos")


def no_label(raw):
    label_path(raw, "0003").unlink()
    return ("train.txt", "lists 0003", "no label of it in annotations/pixel-level")


def no_annotations(raw):
    shutil.rmtree(raw / "annotations")
    return ("annotations/pixel-level", "no such folder")


def no_photo(raw):
    (raw / "photos" / "0003.jpg").unlink()
    return ("train.txt", "lists 0003", "no photo of it in photos")


def no_photos_and_no_lists(raw):
    shutil.rmtree(raw / "splits")
    no_photos(raw)
    return ("photos", "no photo in it")


def no_label_and_no_lists(raw):
    shutil.rmtree(raw / "splits")
    no_label(raw)
    return ("photos/0003.jpg", "has no label annotations/pixel-level/0003.mat")


def no_photo_and_no_lists(raw):
    shutil.rmtree(raw / "splits")
    no_photo(raw)
    return ("0003.mat", "has no photo photos/0003.jpg")


def other_size(raw):
    write_labels(raw, "0003", np.zeros((149, 90), np.uint8))
    return ("0003.mat", "149 x 90", "150 x 90")


def id_out_of_range(raw):
    labels = np.zeros((24, 50), np.uint8)
    labels[3, 4] = len(LABEL_LIST)
    write_labels(raw, "0004", labels)
    return ("0004.mat", f"label id {len(LABEL_LIST)}", "0..5")


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
    return ("photos/0001.jpg", "id 0001", "split val", "train")


def empty_list(raw):
    (raw / "splits" / "val.txt").write_text("\n")
    return ("val.txt", "lists no photo")


def one_list_only(raw):
    (raw / "splits" / "val.txt").unlink()
    return ("train.txt", "no list of split val")


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
        no_photos_and_no_lists,
        no_label_and_no_lists,
        no_photo_and_no_lists,
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
def test_a_bad_folder_is_told_line_by_line_and_leaves_nothing_behind(raw, tmp_path, damage):
    expected = damage(raw)
    with pytest.raises(InputError) as caught:
        build(NAME, tmp_path / "data", raw)
    message = str(caught.value)
    assert "\n" not in message
    lines = getattr(caught.value, "problems", [message])
    assert any(all(word in line for word in expected) for line in lines), lines
    assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == []
    assert not is_built(tmp_path / "data", NAME)


def test_a_check_lists_all_that_is_broken_at_once(raw):
    expected = [damage(raw) for damage in (other_size, id_out_of_range, broken_label, no_jpeg)]
    tally = check_raw(NAME, raw)
    assert (tally.photos, len(tally.problems)) == (3, 4)
    for words in expected:
        assert sum(all(word in line for word in words) for line in tally.problems) == 1


@pytest.mark.parametrize("name", ["fashon_parsing_data.mat", "fashionista_v0.2.1.mat"])
def test_a_broken_file_of_the_other_datasets_is_named(raw, tmp_path, name):
    (raw.parent / name).write_bytes(b"MATLAB 7.3 MAT-file, cut short")
    with pytest.raises(InputError, match=name) as caught:
        build(NAME, tmp_path / "data", raw.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["img_name", "segmentation", "category_label"])
def test_a_photo_of_cfpd_without_a_field_is_named(tmp_path, field):
    mat = tmp_path / "raw" / "fashon_parsing_data.mat"
    mat.parent.mkdir()
    with h5py.File(mat, "w") as file:
        name = file.create_dataset("n", data=np.array([[ord("b")], [ord("k")]], np.uint16))
        entry = file.create_group("e")
        entry["img_name"] = np.array([[ord(c)] for c in "a.jpg"], np.uint16)
        entry["segmentation"] = np.zeros((3, 4))
        entry["category_label"] = np.ones((1, 1))
        del entry[field]
        for key, item in (("all_category_name", name), ("fashion_dataset", entry)):
            file.create_dataset(key, data=np.array([[item.ref]], h5py.ref_dtype))
    cv2.imwrite(str(tmp_path / "raw" / "a.jpg"), np.zeros((4, 3, 3), np.uint8))
    with pytest.raises(InputError, match=rf"fashon_parsing_data\.mat.*{field}"):
        build(NAME, tmp_path / "data", tmp_path / "raw")


def test_the_real_folder_is_found_whole():
    raw = SHARED / "data" / "clothing-co-parsing"
    if not raw.is_dir():
        pytest.skip("needs ../shared/data/clothing-co-parsing beside the checkout")
    source = find(raw)
    assert source.problems == []
    assert Counter(s.split for s in source.samples) == {"train": 751, "val": 83}


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


def by_dataset(ids) -> list[int]:
    """How many ids come from CCP, CFPD and Fashionista."""
    starts = ["cfpd_", "fashionista_"]
    named = [sum(i.startswith(start) for i in ids) for start in starts]
    return [len(ids) - sum(named), *named]


def test_each_of_the_three_gives_10_percent_for_validation(three, tmp_path):
    build(NAME, tmp_path / "data", three)
    built = {s: records(tmp_path / "data", NAME, s) for s in ("train", "val")}
    assert by_dataset(built["val"]) == [1, 2, 1]
    assert by_dataset(built["train"]) == [9, 18, 9]
    counts = metadata(tmp_path / "data", NAME)["sources"]
    assert counts == {"ccp": 10, "cfpd": 20, "fashionista": 10}


def test_lists_beside_the_three_choose_from_all_of_them(three, tmp_path):
    lists = {"train": ["0001", "cfpd_7", "fashionista_010"], "val": ["cfpd_19", "0010"]}
    for split, ids in lists.items():
        write(three / "splits" / f"{split}.txt", "\n".join(ids))
    build(NAME, tmp_path / "data", three)
    for split, ids in lists.items():
        assert set(records(tmp_path / "data", NAME, split)) == set(ids)
