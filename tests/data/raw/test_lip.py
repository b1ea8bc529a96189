"""LIP arrives unchanged from every layout; broken and hostile archives are named."""

import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from raw_folders import (
    FIXTURES,
    SIZE,
    assert_holds,
    is_built,
    jpeg,
    needs_fixtures,
    png,
    random_labels,
    records,
    stored,
    write,
    write_sample,
)

from hparse_jax.data.build import build, check_raw
from hparse_jax.errors import InputError

LIP = FIXTURES / "lip"
_IMAGES, _LABELS = "TrainVal_images", "TrainVal_parsing_annotations"


def official(raw):
    return LIP


def parent(raw):
    return LIP.parent


def short(raw):
    for split in ("train", "val"):
        shutil.copytree(LIP / _IMAGES / f"{split}_images", raw / f"{split}_images")
        shutil.copytree(LIP / _LABELS / f"{split}_segmentations", raw / f"{split}_segmentations")
        shutil.copy(LIP / _IMAGES / f"{split}_id.txt", raw)
    return raw


def zipped(raw, tops: int = 1):
    """Archives whose members name the archive's own folder as often."""
    raw.mkdir()
    for name in (_IMAGES, _LABELS):
        with zipfile.ZipFile(raw / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((LIP / name).rglob("*")):
                archive.write(path, pathlib.Path(*[name] * tops, path.relative_to(LIP / name)))
    return raw


def zipped_without_top_folder(raw):
    return zipped(raw, tops=0)


def zipped_with_two_top_folders(raw):
    return zipped(raw, tops=2)


@needs_fixtures
@pytest.mark.parametrize(
    "lay_out",
    [official, parent, short, zipped, zipped_without_top_folder, zipped_with_two_top_folders],
)
def test_lip_arrives_unchanged_from_every_layout(tmp_path, lay_out):
    build("lip", tmp_path / "data", lay_out(tmp_path / "raw"))
    for split in ("train", "val"):
        expected = {
            photo_id: (
                LIP / _IMAGES / f"{split}_images" / f"{photo_id}.jpg",
                stored(LIP / _LABELS / f"{split}_segmentations" / f"{photo_id}.png"),
            )
            for photo_id in (LIP / _IMAGES / f"{split}_id.txt").read_text().split()
        }
        assert_holds(records(tmp_path / "data", "lip", split), expected)


def lip_with_a_test_split(raw, listed: bool):
    for split in ("train", "val"):
        folders = (f"{_IMAGES}/{split}_images", f"{_LABELS}/{split}_segmentations")
        write_sample(raw, f"{split}1", folders=folders, classes=20)
        write(raw / _IMAGES / f"{split}_id.txt", f"{split}1\n")
    for seed, size in enumerate(((7, 4), (5, 9))):
        photo = raw / "Testing_images" / "testing_images" / f"test{seed}.jpg"
        write(photo, jpeg(size, seed))
    if listed:
        write(raw / "Testing_images" / "test_id.txt", "test1\n")


@pytest.mark.parametrize("listed", [False, True])
def test_lips_test_photos_have_labels_that_do_not_count(tmp_path, listed):
    raw = tmp_path / "raw"
    lip_with_a_test_split(raw, listed)
    build("lip", tmp_path / "data", raw)
    photos = raw / "Testing_images" / "testing_images"
    expected = {
        "test0": (photos / "test0.jpg", np.full((7, 4), 255)),
        "test1": (photos / "test1.jpg", np.full((5, 9), 255)),
    }
    if listed:
        del expected["test0"]
    assert_holds(records(tmp_path / "data", "lip", "test"), expected)


def lip_archives(raw, more=()) -> None:
    """LIP's archives with one photo a split; more: (member, data) of the archive of the photos."""
    raw.mkdir()
    with (
        zipfile.ZipFile(raw / f"{_IMAGES}.zip", "w") as images,
        zipfile.ZipFile(raw / f"{_LABELS}.zip", "w") as labels,
    ):
        for seed, split in enumerate(("train", "val")):
            images.writestr(f"{_IMAGES}/{split}_id.txt", f"{split}0\n")
            images.writestr(f"{_IMAGES}/{split}_images/{split}0.jpg", jpeg(SIZE, seed))
            name = f"{_LABELS}/{split}_segmentations/{split}0.png"
            labels.writestr(name, png(random_labels(SIZE, seed, 20)))
        for member, data in more:
            images.writestr(member, data)


def linked_member(raw):
    member = zipfile.ZipInfo(f"{_IMAGES}/train_images/linked.jpg")
    member.create_system = 3  # Unix
    member.external_attr = 0o120777 << 16
    lip_archives(raw, [(member, "/etc/passwd")])
    return f"{_IMAGES}.zip", "train_images/linked.jpg", "is a link or leads out"


def member_above_the_folder(raw):
    lip_archives(raw, [(f"{_IMAGES}/../../escaped.jpg", jpeg(SIZE))])
    return f"{_IMAGES}.zip", "../../escaped.jpg", "is a link or leads out"


def absolute_member(raw):
    lip_archives(raw, [("/escaped.jpg", jpeg(SIZE))])
    return f"{_IMAGES}.zip", "/escaped.jpg", "is a link or leads out"


def archive_cut_short(raw):
    lip_archives(raw)
    path = raw / f"{_LABELS}.zip"
    path.write_bytes(path.read_bytes()[:-30])
    return f"{_LABELS}.zip", "not a whole zip archive"


def photos_archive_cut_short(raw):
    lip_archives(raw)
    path = raw / f"{_IMAGES}.zip"
    path.write_bytes(path.read_bytes()[:-30])
    return f"{_IMAGES}.zip", "not a whole zip archive"


def changed_byte(raw):
    """The checksum of a stored member is wrong."""
    lip_archives(raw)
    path = raw / f"{_LABELS}.zip"
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    path.write_bytes(data)
    return f"{_LABELS}.zip:{_LABELS}/train_segmentations/train0.png", "cannot be read"


def broken_compression(raw):
    """A compressed member that does not unpack."""
    lip_archives(raw)
    member = f"{_LABELS}/train_segmentations/train0.png"
    path = raw / f"{_LABELS}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(1000))
        archive.writestr(f"{_LABELS}/val_segmentations/val0.png", png(random_labels(SIZE)))
    data = bytearray(path.read_bytes())
    start = data.index(member.encode()) + len(member)
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    return f"{_LABELS}.zip:{member}", "cannot be read"


@pytest.mark.parametrize(
    "damage",
    [
        linked_member,
        member_above_the_folder,
        absolute_member,
        archive_cut_short,
        photos_archive_cut_short,
        changed_byte,
        broken_compression,
    ],
)
def test_a_bad_archive_is_named_and_nothing_is_built(tmp_path, damage):
    raw = tmp_path / "raw"
    expected = damage(raw)
    with pytest.raises(InputError):
        build("lip", tmp_path / "data", raw)
    assert not is_built(tmp_path / "data", "lip")
    lines = check_raw("lip", raw).problems
    assert any(all(word in line for word in expected) for line in lines), lines
    assert not (tmp_path / "escaped.jpg").exists()


@pytest.mark.parametrize("damage", [linked_member, member_above_the_folder, absolute_member])
def test_members_that_lead_out_of_an_archive_are_no_photos(tmp_path, damage):
    damage(tmp_path / "raw")
    build("lip", tmp_path / "data", tmp_path / "raw", skip_bad=True)
    for seed, split in enumerate(("train", "val")):
        built = records(tmp_path / "data", "lip", split)
        assert list(built) == [f"{split}0"]
        assert built[f"{split}0"][0] == jpeg(SIZE, seed)


def test_an_unpacked_folder_goes_before_its_archive(tmp_path):
    raw = tmp_path / "raw"
    lip_archives(raw)
    with zipfile.ZipFile(raw / f"{_IMAGES}.zip") as archive:
        archive.extractall(raw)
    write(raw / f"{_IMAGES}.zip", b"old and broken")
    build("lip", tmp_path / "data", raw)
    assert list(records(tmp_path / "data", "lip", "train")) == ["train0"]
