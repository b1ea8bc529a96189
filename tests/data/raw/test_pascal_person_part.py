"""PASCAL-Person-Part arrives unchanged, PASCAL-Part merged; broken annotations are named."""

import numpy as np
import pytest
import scipy.io
from raw_folders import (
    FIXTURES,
    SIZE,
    assert_holds,
    is_built,
    needs_fixtures,
    pascal_part,
    records,
    stored,
    write_pascal_part,
)

from hparse_jax.data.build import build
from hparse_jax.errors import InputError

PASCAL = FIXTURES / "pascal-person-part"


@needs_fixtures
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
    return "Annotations_Part/a.mat", "not a readable MATLAB file"


def pointer_as_annotation(raw):
    pascal_folder(raw).write_text("version https://git-lfs.github.com/spec/v1\n")
    return "Annotations_Part/a.mat", "Git-LFS pointer"


def other_variable(raw):
    scipy.io.savemat(pascal_folder(raw), {"groundtruth": np.zeros(SIZE)})
    return "Annotations_Part/a.mat", "holds no anno; is this PASCAL-Part's file?"


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
