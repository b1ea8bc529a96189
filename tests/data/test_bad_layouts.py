"""Archives of LIP and annotations of PASCAL-Part that are broken or hostile are named."""

import zipfile

import numpy as np
import pytest
import scipy.io
from raw_folders import (
    SIZE,
    drawn_labels,
    is_built,
    jpeg,
    pascal_part,
    png,
    records,
    write,
    write_pascal_part,
)

from hparse_jax.data.build import build, check_raw
from hparse_jax.errors import InputError

_IMAGES, _LABELS = "TrainVal_images", "TrainVal_parsing_annotations"


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
            labels.writestr(name, png(drawn_labels(SIZE, seed, 20)))
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
        archive.writestr(f"{_LABELS}/val_segmentations/val0.png", png(drawn_labels(SIZE)))
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
def test_a_bad_archive_is_named_and_nothing_is_built(tmp_path, capsys, damage):
    raw = tmp_path / "raw"
    expected = damage(raw)
    with pytest.raises(InputError):
        build("lip", tmp_path / "data", raw)
    assert not is_built(tmp_path / "data", "lip")
    capsys.readouterr()
    assert check_raw("lip", raw) == 1
    lines = capsys.readouterr().out.splitlines()
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


# PASCAL-Part -------------------------------------------------------------------------------------


def things(size=SIZE, part="head"):
    mask = np.ones(size, np.uint8)
    return [("person", mask, {part: mask})]


def pascal_folder(raw):
    """One photo a split: a and b."""
    write_pascal_part(raw, "a", "train", SIZE, things())
    write_pascal_part(raw, "b", "val", SIZE, things())
    return raw / "Annotations_Part" / "a.mat"


def cut_annotation(raw):
    path = pascal_folder(raw)
    path.write_bytes(path.read_bytes()[:200])
    return "Annotations_Part/a.mat", "not a readable PASCAL-Part file"


def pointer_as_annotation(raw):
    pascal_folder(raw).write_text("version https://git-lfs.github.com/spec/v1\n")
    return "Annotations_Part/a.mat", "Git-LFS pointer"


def other_variable(raw):
    scipy.io.savemat(pascal_folder(raw), {"groundtruth": np.zeros(SIZE)})
    return "Annotations_Part/a.mat", "holds no 'anno'"


def part_of_no_person(raw):
    pascal_folder(raw).write_bytes(pascal_part(things(part="tail")))
    return "Annotations_Part/a.mat", "'tail'", "no part of a person"


def nothing_annotated(raw):
    scipy.io.savemat(pascal_folder(raw), {"anno": {"imname": "a", "objects": np.zeros((0, 0))}})
    return "Annotations_Part/a.mat", "annotates no object"


def annotation_of_another_size(raw):
    pascal_folder(raw).write_bytes(pascal_part(things((5, 6))))
    return "Annotations_Part/a.mat", "5 x 6 labels", "6 x 5 pixels", "JPEGImages/a.jpg"


def no_list(raw):
    pascal_folder(raw)
    (raw / "list" / "val_id.txt").unlink()
    return "list/val_id.txt", "missing"


@pytest.mark.parametrize(
    "damage",
    [
        cut_annotation,
        pointer_as_annotation,
        other_variable,
        part_of_no_person,
        nothing_annotated,
        annotation_of_another_size,
        no_list,
    ],
)
def test_a_bad_annotation_of_pascal_part_is_named(tmp_path, damage):
    expected = damage(tmp_path / "raw")
    with pytest.raises(InputError) as caught:
        build("pascal_person_part", tmp_path / "data", tmp_path / "raw")
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in expected), message
    assert not is_built(tmp_path / "data", "pascal_person_part")
