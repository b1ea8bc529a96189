"""What looks odd in a raw folder and is right: labels by value, pixels as stored, lists by line."""

import numpy as np
import pytest
from PIL import Image
from raw_folders import (
    SIZE,
    encoded,
    good_folder,
    jpeg,
    png,
    put_label,
    put_photo,
    random_labels,
    records,
    turned_photo,
    write,
    write_people,
    write_sample,
)

from hparse_jax.data.build import build


@pytest.mark.parametrize(
    "text",
    [
        b"good0\r\ngood1",
        b"\xef\xbb\xbfgood0\ngood1\n",
        b"good0\n\n good1 \n",
        b"good0.jpg\ngood1.jpg",
    ],
)
def test_line_ends_byte_order_marks_and_suffixes_in_lists_do_no_harm(tmp_path, text):
    raw, hierarchy = good_folder(tmp_path)
    write(raw / "train.txt", text)
    write(raw / "val.txt", "good2\n")
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    assert set(records(tmp_path / "data", "folder", "train")) == {"good0", "good1"}


@pytest.mark.parametrize("line", ["good1", "good1.jpg"])
def test_labels_of_a_listed_test_split_are_kept(tmp_path, line):
    raw, hierarchy = good_folder(tmp_path)
    write(raw / "train.txt", "good0\n")
    write(raw / "test.txt", f"{line}\n")
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    built = records(tmp_path / "data", "folder", "test")
    np.testing.assert_array_equal(built["good1"][1], random_labels(SIZE, 1))


def test_a_test_split_without_labels_gets_none_that_count(tmp_path):
    raw, hierarchy = good_folder(tmp_path)
    write(raw / "train.txt", "good0\n")
    write(raw / "images" / "album" / "bare.jpg", jpeg((4, 7)))
    write(raw / "test.txt", "album/bare\n")
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    built = records(tmp_path / "data", "folder", "test")
    np.testing.assert_array_equal(built["album/bare"][1], np.full((4, 7), 255))


def built_alone(tmp_path, name) -> tuple[bytes, np.ndarray]:
    """The record of one photo of a folder, built as its training split."""
    raw = tmp_path / "raw"
    write_sample(raw, "other")
    write(raw / "train.txt", f"{name}\n")
    write(raw / "val.txt", "other\n")
    hierarchy = write_people(tmp_path / "people.json")
    build("folder", tmp_path / "data", raw, hierarchy=hierarchy)
    return records(tmp_path / "data", "folder", "train")[name]


@pytest.mark.parametrize(
    ("depth", "palette"),
    [(1, False), (2, False), (4, False), (8, False), (16, False),
     (1, True), (2, True), (4, True), (8, True)],
)  # fmt: skip
@pytest.mark.parametrize("width", [5, 8])
def test_labels_of_every_depth_are_read_by_value(tmp_path, depth, palette, width):
    ids = random_labels((6, width), classes=2 if depth == 1 else 4)
    if depth >= 8:
        ids[0, 0] = 255
    write(tmp_path / "raw" / "images" / "a.jpg", jpeg(ids.shape))
    write(tmp_path / "raw" / "labels" / "a.png", png(ids, depth, palette))
    np.testing.assert_array_equal(built_alone(tmp_path, "a")[1], ids)


def test_transparency_does_not_change_labels(tmp_path):
    ids = random_labels(SIZE)
    data = encoded(Image.fromarray(ids), "PNG", transparency=0)
    put_label(tmp_path / "raw", "a", data)
    np.testing.assert_array_equal(built_alone(tmp_path, "a")[1], ids)


def test_labels_that_fit_the_stored_pixels_of_a_turned_photo_are_untouched(tmp_path):
    data, ids = turned_photo((6, 5)), random_labels((6, 5))
    write(tmp_path / "raw" / "images" / "a.jpg", data)
    write(tmp_path / "raw" / "labels" / "a.png", png(ids))
    image, labels = built_alone(tmp_path, "a")
    assert image == data
    np.testing.assert_array_equal(labels, ids)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's, of the second
@pytest.mark.parametrize(
    "exif",
    [
        b"nonsense",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\1\2\0\2\0\0\x006\0\0\0\0\0\0\0",
    ],
)
def test_a_photo_with_broken_exif_data_is_whole(tmp_path, exif):
    """Nonsense, cut short, and a text where a number should be."""
    data = jpeg(SIZE, exif=b"Exif\0\0" + exif)
    put_photo(tmp_path / "raw", "a", data)
    assert built_alone(tmp_path, "a")[0] == data
