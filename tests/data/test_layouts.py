"""Every raw layout arrives unchanged: the photo byte for byte, the label pixel for pixel.

Labels are read again by Pillow, SciPy or by hand, never by the builders.
"""

import pathlib
import shutil
import zipfile

import numpy as np
import pytest
from raw_folders import (
    assert_holds,
    jpeg,
    metadata,
    records,
    stored,
    write,
    write_pascal_part,
    write_sample,
)

from hparse_jax.data.build import build
from hparse_jax.data.raw import atr
from hparse_jax.data.raw.records import split_samples

SHARED = pathlib.Path(__file__).parents[3] / "shared"
SAMPLES = SHARED / "data" / "fixtures"

needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="needs the samples ../shared/data/fixtures beside the checkout"
)


# LIP ---------------------------------------------------------------------------------------------

LIP = SAMPLES / "lip"
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


@needs_samples
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


# PASCAL-Person-Part ------------------------------------------------------------------------------

PASCAL = SAMPLES / "pascal-person-part"


@needs_samples
@pytest.mark.parametrize("manual_dir", [PASCAL, PASCAL.parent], ids=["itself", "parent"])
def test_pascal_person_part_arrives_unchanged(tmp_path, manual_dir):
    build("pascal_person_part", tmp_path, manual_dir)
    for split in ("train", "val"):
        expected = {
            photo_id: (
                PASCAL / "JPEGImages" / f"{photo_id}.jpg",
                stored(PASCAL / "SegmentationPart" / f"{photo_id}.png"),
            )
            for photo_id in (PASCAL / "list" / f"{split}_id.txt").read_text().split()
        }
        assert_holds(records(tmp_path, "pascal_person_part", split), expected)


# The 24 parts of a person in PASCAL-Part, in the order of the classes 1 to 6.
PARTS = (
    "head leye reye lear rear lebrow rebrow nose mouth hair",
    "torso neck",
    "luarm ruarm",
    "llarm rlarm lhand rhand",
    "luleg ruleg",
    "llleg rlleg lfoot rfoot",
)


def test_the_parts_of_pascal_part_are_merged_into_six(tmp_path):
    """Part i of the first person is pixel i; a dog and a person without parts are background."""
    raw, size = tmp_path / "raw", (5, 8)
    names = " ".join(PARTS).split()

    def dot(i):
        return (np.arange(40).reshape(size) == i).astype(np.uint8)

    everywhere = np.ones(size, np.uint8)
    person = ("person", everywhere, {name: dot(i) for i, name in enumerate(names)})
    dog = ("dog", everywhere, {"head": everywhere, "lfleg": everywhere})
    second = ("person", everywhere, {"lhand": dot(39)})
    hidden = ("person", everywhere, {})
    write_pascal_part(raw, "a", "train", size, [person, dog, hidden, second])
    write_pascal_part(raw, "b", "val", size, [dog])
    expected = np.zeros(40, np.uint8)
    for merged, part in enumerate(PARTS, 1):
        for name in part.split():
            expected[names.index(name)] = merged
    expected[39] = 4
    build("pascal_person_part", tmp_path / "data", raw)
    photo = raw / "JPEGImages" / "a.jpg"
    built = records(tmp_path / "data", "pascal_person_part", "train")
    assert_holds(built, {"a": (photo, expected.reshape(size))})
    built = records(tmp_path / "data", "pascal_person_part", "val")
    assert_holds(built, {"b": (photo, np.zeros(size))})


# CIHP --------------------------------------------------------------------------------------------

CIHP = SAMPLES / "cihp"


@needs_samples
def test_cihp_arrives_unchanged_and_a_tenth_is_drawn_for_validation(tmp_path):
    build("cihp", tmp_path, CIHP)
    ids = sorted(path.stem for path in (CIHP / "images").iterdir())
    held_out = ids[np.random.default_rng(0).permutation(len(ids))[0]]  # at least one
    for split, own in (("val", [held_out]), ("train", sorted({*ids} - {held_out}))):
        expected = {
            i: (CIHP / "images" / f"{i}.jpg", stored(CIHP / "labels" / f"{i}.png")) for i in own
        }
        assert_holds(records(tmp_path, "cihp", split), expected)


def test_cihp_in_its_own_layout(tmp_path):
    raw, expected = tmp_path / "CIHP", {}
    for seed, (split, folder) in enumerate((("train", "Training"), ("val", "Validation"))):
        folders = (f"{folder}/Images", f"{folder}/Category_ids")
        labels = write_sample(raw, f"000{seed}", seed=seed, folders=folders, classes=20)
        expected[split] = {f"000{seed}": (raw / folder / "Images" / f"000{seed}.jpg", labels)}
    photo = write(raw / "Testing" / "Images" / "0009.jpg", jpeg((3, 8)))
    expected["test"] = {"0009": (photo, np.full((3, 8), 255))}
    build("cihp", tmp_path / "data", tmp_path)
    for split, samples in expected.items():
        assert_holds(records(tmp_path / "data", "cihp", split), samples)


# ATR ---------------------------------------------------------------------------------------------

FAMILIES = {"dataset10k": 150, "fash": 61, "Multi": 33, "997": 20, "2500": 12, "4565": 7}
ATR_SHARES = {"train": 6000 / 7700, "val": 700 / 7700, "test": 1000 / 7700}


def atr_folder(raw, families, folders=("JPEGImages", "SegmentationClassAug")):
    root = raw / "humanparsing"
    for family, photos in families.items():
        for i in range(photos):
            write_sample(root, f"{family}_{i + 1}", (3, 2), i, folders, 18)
    return root


def drawn_atr(raw) -> dict[str, set[str]]:
    splits = split_samples(atr.find(raw))
    return {split: {sample.id for sample in samples} for split, samples in splits.items()}


def test_every_family_of_atr_gives_its_share_to_every_drawn_split(tmp_path):
    atr_folder(tmp_path, FAMILIES)
    splits = drawn_atr(tmp_path)
    assert (
        sum(map(len, splits.values()))
        == sum(FAMILIES.values())
        == len(set().union(*splits.values()))
    )
    for split, share in ATR_SHARES.items():
        assert abs(len(splits[split]) - share * sum(FAMILIES.values())) <= 1
        for family, photos in FAMILIES.items():
            own = [i for i in splits[split] if i.startswith(f"{family}_")]
            assert abs(len(own) - share * photos) <= (1 if split != "train" else 2)


def test_atr_is_drawn_the_same_every_time_and_says_so(tmp_path):
    families = {"fash": 12, "997": 11}
    for name in ("a", "b"):
        atr_folder(tmp_path / name, families)
        build("atr", tmp_path / name / "data", tmp_path / name)
    drawn = drawn_atr(tmp_path / "a")
    for name in ("a", "b"):
        data_dir = tmp_path / name / "data"
        assert {s: set(records(data_dir, "atr", s)) for s in ATR_SHARES} == drawn
        assert metadata(data_dir, "atr")["splits"].startswith("drawn with seed 0")


def test_atrs_lists_are_kept_to(tmp_path):
    root = atr_folder(tmp_path, {"fash": 6})
    lists = {"train": ["fash_6", "fash_2"], "val": ["fash_1"], "test": ["fash_5"]}
    for split, ids in lists.items():
        write(root / f"{split}_id.txt", "\n".join(ids))
    build("atr", tmp_path / "data", tmp_path)
    assert metadata(tmp_path / "data", "atr")["splits"] == "lists of the raw folder"
    for split, ids in lists.items():
        expected = {
            i: (
                root / "JPEGImages" / f"{i}.jpg",
                stored(root / "SegmentationClassAug" / f"{i}.png"),
            )
            for i in ids
        }
        assert_holds(records(tmp_path / "data", "atr", split), expected)


def test_atrs_lists_may_leave_out_a_split(tmp_path):
    root = atr_folder(tmp_path, {"fash": 4})
    write(root / "train_id.txt", "fash_1\nfash_2\n")
    write(root / "val_id.txt", "fash_4\n")
    build("atr", tmp_path / "data", tmp_path)
    assert set(records(tmp_path / "data", "atr", "train")) == {"fash_1", "fash_2"}
    assert set(records(tmp_path / "data", "atr", "val")) == {"fash_4"}
