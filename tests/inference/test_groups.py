"""Which photos belong to a factor or a size."""

import numpy as np
import pytest

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.inference.groups import factors, object_sizes

LIP = get_hierarchy("lip")


def test_object_sizes_are_foreground_pixels():
    names = {group.name: group for group in object_sizes()}

    def holding(pixels):
        labels = np.zeros((400, 400), np.uint8)
        labels.reshape(-1)[:pixels] = 3
        labels.reshape(-1)[-50:] = 255
        return [name for name, group in names.items() if group.holds("x", labels)]

    assert holding(153**2 - 1) == ["small"]
    assert holding(153**2) == holding(321**2 - 1) == ["medium"]
    assert holding(321**2) == ["large"]


def test_derived_factors_follow_the_labels():
    groups = {g.name: g for g in factors(["derived"], LIP, lambda: ())}
    assert all(g.derived for g in groups.values())

    def of(*ids):
        labels = np.array([[0, *ids]], np.uint8)
        return {name for name, g in groups.items() if g.holds("x", labels)}

    hair, arm, pants, left_leg, right_shoe = 2, 14, 9, 16, 19
    assert of(hair, arm) == {"upper-body"}
    assert of(hair, right_shoe) == {"full-body"}
    assert of(hair, pants) == of(hair, left_leg) == set()
    assert of(arm, right_shoe) == {"head-missed"}


def test_lists_name_photos_of_the_split(tmp_path):
    path = tmp_path / "back-view.txt"
    path.write_bytes(b"a\r\nb")
    (group,) = factors([str(path)], LIP, lambda: {"a", "b", "c"})
    labels = np.zeros((1, 1), np.uint8)
    assert (group.name, group.derived) == ("back-view", False)
    assert [group.holds(i, labels) for i in "abc"] == [True, True, False]
    for known, text, message in (
        ({"a"}, "a\nzebra", "1 ids are not in the split, the first is zebra"),
        ({"a"}, "", "lists no photo"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=rf"back-view\.txt: {message}"):
            factors([str(path)], LIP, lambda known=known: known)
    with pytest.raises(InputError, match="no such list"):
        factors([str(tmp_path / "gone.txt")], LIP, lambda: ())
    path.write_text("a")
    with pytest.raises(InputError, match="back-view twice"):
        factors([str(path)] * 2, LIP, lambda: {"a"})


def test_derived_factors_of_pascal_person_part():
    groups = factors(["derived"], get_hierarchy("pascal_person_part"), lambda: ())

    def of(*ids):
        labels = np.array([[0, *ids]], np.uint8)
        return {group.name for group in groups if group.holds("x", labels)}

    head, torso, upper_leg, lower_leg = 1, 2, 5, 6
    assert of(head, lower_leg) == {"full-body"}
    assert of(head, torso) == {"upper-body"}
    assert of(head, upper_leg) == set()
    assert of(torso) == {"head-missed"}


def test_factors_cannot_be_derived_without_joints():
    with pytest.raises(InputError, match="defines no joints"):
        factors(["derived"], get_hierarchy("fashion_clothing"), lambda: ())
