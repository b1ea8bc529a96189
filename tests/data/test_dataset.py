"""A built dataset as an object: what it says of itself, and its photographs as they were given."""

import io
import json
import re
import threading

import cv2
import numpy as np
import pytest
from ccp_folder import SIZES
from PIL import Image
from raw_folders import (
    GOOD,
    PEOPLE,
    encoded,
    good_folder,
    png,
    random_labels,
    stored,
    write,
    write_people,
)

from hparse_jax.data.build import build
from hparse_jax.data.dataset import BuiltDataset, decode
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.integrity import SEAL

PYTHON = """
def get_hierarchy():
    nodes = ["background", "head", "left-arm", "right-arm"]
    return {
        "name": "mine",
        "levels": [{"name": "parts", "nodes": dict.fromkeys(nodes)}],
        "flip_pairs": [["left-arm", "right-arm"]],
    }
"""


@pytest.fixture
def people(tmp_path):
    """The raw folder of a dataset `people` in tmp_path / "data", all of it for training."""
    raw, hierarchy = good_folder(tmp_path)
    write(raw / "train.txt", "\n".join(GOOD))
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy, name="people")
    return raw


def test_a_dataset_knows_its_folder_splits_and_hierarchy(built):
    dataset = BuiltDataset("fashion_clothing", built)
    assert dataset.folder == built / "fashion_clothing" / "1.0.0"
    assert dataset.splits == {"train": 5, "val": 2}
    assert {split: len(dataset.records(split)) for split in dataset.splits} == dataset.splits
    assert dataset.hierarchy == get_hierarchy("fashion_clothing")
    assert dataset.metadata == json.loads((dataset.folder / "metadata.json").read_text())


@pytest.mark.parametrize("suffix", ["json", "py"])
def test_a_dataset_of_ones_own_knows_its_hierarchy(tmp_path, suffix):
    raw, _ = good_folder(tmp_path)
    text = json.dumps(PEOPLE) if suffix == "json" else PYTHON
    path = write(tmp_path / f"classes.{suffix}", text)
    expected = get_hierarchy(str(path))
    build("folder", tmp_path / "data", raw, hierarchy=str(path), name="people")
    path.unlink()
    assert BuiltDataset("people", tmp_path / "data").hierarchy == expected


def test_a_dataset_of_ones_own_without_a_hierarchy_asks_for_one(people, tmp_path):
    write(tmp_path / "data" / "people" / "1.0.0" / "metadata.json", "{}")
    (tmp_path / "data" / "people" / "1.0.0" / SEAL).unlink()
    dataset = BuiltDataset("people", tmp_path / "data")
    assert dataset.splits == {"train": len(GOOD)}  # what needs no hierarchy works
    with pytest.raises(InputError, match=r"people.*names no hierarchy; set config\.hierarchy"):
        _ = dataset.hierarchy


def test_a_shipped_dataset_without_a_hierarchy_has_the_shipped_one(people, tmp_path):
    write(tmp_path / "data" / "people" / "1.0.0" / "metadata.json", "{}")
    (tmp_path / "data" / "people" / "1.0.0" / SEAL).unlink()
    (tmp_path / "data" / "people").rename(tmp_path / "data" / "lip")
    assert BuiltDataset("lip", tmp_path / "data").hierarchy == get_hierarchy("lip")


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_photos_of_a_split_at_their_own_sizes(built, processes):
    dataset = BuiltDataset("fashion_clothing", built)
    records = dataset.records("train")
    ids = [records[i]["id"].decode() for i in range(len(records))]
    assert sorted(ids) == ["0001", "0002", "0003", "0004", "0005"]
    for p in range(processes):
        photos = list(dataset.photos("train", process_index=p, process_count=processes))
        assert [photo_id for photo_id, _, _ in photos] == ids[p::processes]
        for photo_id, image, labels in photos:
            assert image.shape == (*SIZES[int(photo_id) - 1], 3)
            assert labels.shape == SIZES[int(photo_id) - 1]


def test_photos_come_with_their_labels(people, tmp_path):
    dataset = BuiltDataset("people", tmp_path / "data")
    seen = []
    for photo_id, image, labels in dataset.photos("train"):
        photo = Image.open(people / "images" / f"{photo_id}.jpg")
        np.testing.assert_allclose(image.astype(int), np.asarray(photo), atol=3)
        np.testing.assert_array_equal(labels, stored(people / "labels" / f"{photo_id}.png"))
        seen.append(photo_id)
    assert sorted(seen) == GOOD


def test_photos_of_every_kind_come_out_as_rgb(tmp_path):
    """Grey, with a palette, with alpha, in CMYK, turned: the pixels as stored."""
    size, exif = (6, 5), Image.Exif()
    exif[0x0112] = 3
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 4), np.uint8)
    pixels[..., 3] = 255
    rgba = Image.fromarray(pixels)
    flat = Image.new("CMYK", size[::-1], (200, 30, 90, 0))
    photos = {
        "grey": ("png", encoded(rgba.convert("L"), "PNG")),
        "palette": ("png", encoded(rgba.convert("RGB").quantize(16), "PNG")),
        "alpha": ("png", encoded(rgba, "PNG")),
        "cmyk": ("jpg", encoded(flat, "JPEG", quality=100)),
        "turned": ("png", encoded(rgba.convert("RGB"), "PNG", exif=exif)),
    }
    raw = tmp_path / "raw"
    for name, (suffix, data) in photos.items():
        write(raw / "images" / f"{name}.{suffix}", data)
        write(raw / "labels" / f"{name}.png", png(random_labels(size)))
    write(raw / "train.txt", "\n".join(photos))
    hierarchy = write_people(tmp_path / "people.json")
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy, name="people")
    decoded = list(BuiltDataset("people", tmp_path / "data").photos("train"))
    assert sorted(photo_id for photo_id, _, _ in decoded) == sorted(photos)
    for photo_id, image, _ in decoded:
        original = Image.open(io.BytesIO(photos[photo_id][1])).convert("RGB")
        np.testing.assert_allclose(image.astype(int), np.asarray(original), atol=3)


def test_a_hierarchy_given_for_the_labels_goes_before_the_datasets_own(built):
    dataset = BuiltDataset("fashion_clothing", built)
    with pytest.raises(InputError, match=r"record 000\d: label id .* hierarchy pascal_person_part"):
        list(dataset.photos("val", get_hierarchy("pascal_person_part")))
    assert len(list(dataset.photos("val", get_hierarchy("atr")))) == 2


def test_an_iterator_that_is_closed_early_leaves_no_thread(built):
    before = threading.active_count()
    photos = BuiltDataset("fashion_clothing", built).photos("train")
    next(photos)
    assert threading.active_count() > before
    photos.close()
    assert threading.active_count() == before


def test_id_254_is_no_label_of_any_hierarchy():
    """It marks unknown ids in the look-up tables."""
    photo, labels = np.zeros((4, 5, 3), np.uint8), np.full((4, 5), 254, np.uint8)
    files = {
        name: cv2.imencode(".png", x)[1].tobytes()
        for name, x in (("image", photo), ("label", labels))
    }
    with pytest.raises(InputError, match="record a: label id 254 is not in hierarchy"):
        decode({"id": b"a", **files}, get_hierarchy("fashion_clothing"))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("lip", "hparse build lip --data_dir=DIR"),
        ("synthetic", "hparse build synthetic --data_dir=DIR"),
        (
            "mine",
            "hparse build folder --name=mine --manual_dir=RAW --hierarchy=FILE --data_dir=DIR",
        ),
    ],
)
def test_what_is_not_built_is_named_with_both_remedies(tmp_path, name, command):
    """The command that builds it, and that it may lie elsewhere: a run can move."""
    data_dir = tmp_path / "data"
    with pytest.raises(InputError) as caught:
        BuiltDataset(name, data_dir)
    message = str(caught.value)
    assert message.startswith(f"data_dir={data_dir}: no built dataset '{name}' in {data_dir}; ")
    assert f"run `{command.replace('DIR', str(data_dir))}`" in message
    assert message.endswith("or give the data_dir that holds it")


def test_an_unknown_split_names_the_known_ones(built):
    dataset = BuiltDataset("fashion_clothing", built)
    expected = "dataset fashion_clothing has no split 'test'; it has train, val"
    for read in (dataset.records, lambda split: next(dataset.photos(split))):
        with pytest.raises(InputError, match=re.escape(expected)):
            read("test")


@pytest.mark.parametrize("below", ["", "data", "data/deeper"])
def test_a_data_dir_that_is_a_file_is_told_so(tmp_path, below):
    file = write(tmp_path / "file", "")
    with pytest.raises(InputError) as caught:
        BuiltDataset("lip", file / below)
    assert str(caught.value).startswith(f"data_dir={file / below}: {file} is a file; give the path")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("dataset_info.json", None),
        ("dataset_info.json", "{"),
        ("features.json", None),
        ("features.json", "[1]"),
        ("metadata.json", "{"),
        ("metadata.json", "[1]"),
    ],
)
def test_a_broken_file_of_a_dataset_is_named_with_the_remedy(people, tmp_path, path, text):
    target = tmp_path / "data" / "people" / "1.0.0"
    if text is None:
        (target / path).unlink()
    else:
        write(target / path, text)
    with pytest.raises(
        InputError, match=rf"people/1\.0\.0/{path}: (damaged|missing).*hparse build"
    ):
        BuiltDataset("people", tmp_path / "data")
    (target / SEAL).unlink()  # as of an earlier version
    with pytest.raises(InputError, match=r"people/1\.0\.0: not a whole dataset .*hparse build"):
        BuiltDataset("people", tmp_path / "data")


def test_records_that_are_cut_short_are_named_with_the_remedy(people, tmp_path):
    target = tmp_path / "data" / "people" / "1.0.0"
    for path in target.glob("*train.array_record*"):
        path.write_bytes(path.read_bytes()[:2000])
    dataset = BuiltDataset("people", tmp_path / "data")
    with pytest.raises(InputError, match=r"people/1\.0\.0: cannot be read .*hparse build"):
        dataset.records("train")


def test_one_flipped_bit_in_the_records_is_named_when_it_is_read(people, tmp_path):
    (path,) = (tmp_path / "data" / "people" / "1.0.0").glob("*train.array_record*")
    data = bytearray(path.read_bytes())
    data[data.rindex(b"IDAT") + 9] ^= 16  # within the last photo
    path.write_bytes(data)
    dataset = BuiltDataset("people", tmp_path / "data")
    assert len(dataset.records("train")) == len(GOOD)
    with pytest.raises(InputError, match=rf"{path.name}: damaged \(.*hash.*hparse build") as caught:
        list(dataset.photos("train"))
    assert "\n" not in str(caught.value)


def test_numbers_of_a_dataset_that_changed_are_noticed(people, tmp_path):
    """The counts that class weights are made of."""
    path = tmp_path / "data" / "people" / "1.0.0" / "metadata.json"
    path.write_text(re.sub(r"1", "7", path.read_text(), count=1))
    with pytest.raises(InputError, match=r"metadata\.json: damaged"):
        BuiltDataset("people", tmp_path / "data")
