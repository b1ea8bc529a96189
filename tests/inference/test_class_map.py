"""Results in the classes of another dataset."""

import itertools
import json

import numpy as np
import pytest

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, get_hierarchy
from hparse_jax.inference.class_map import read_class_map
from hparse_jax.inference.correspondence import shipped_files
from hparse_jax.inference.result import Result

DATASETS = ("lip", "atr", "cihp", "fashion_clothing", "pascal_person_part")
LIP, ATR = get_hierarchy("lip"), get_hierarchy("atr")


def translated(name, source):
    """{leaf: the target's leaf} by names, without background."""
    found = read_class_map(name, source)
    pairs = zip(source.levels[0].nodes, found.table.tolist(), strict=True)
    names = {leaf: found.target.levels[0].nodes[i] for leaf, i in pairs}
    return found, {leaf: name for leaf, name in names.items() if name != "background"}


def test_lip_becomes_atr_and_back():
    there, names = translated("lip_atr", LIP)
    assert there.target == ATR
    assert there.lost == ("glove", "socks", "jumpsuits")
    assert names["sunglasses"] == "sunglass"
    assert names["coat"] == names["upper-clothes"] == "upper-clothes"
    assert names["left-shoe"] == "left-shoe"
    back, names = translated("lip_atr", ATR)
    assert back.target == LIP
    assert back.lost == ("belt", "bag")
    assert names["upper-clothes"] == "upper-clothes"  # not coat: the one of the same name


def test_what_several_classes_share_has_no_counterpart_unless_named():
    there, names = translated("lip_fashion_clothing", LIP)
    assert there.lost == ("jumpsuits",)
    assert {names[n] for n in ("face", "left-arm", "right-leg")} == {"skin"}
    back, names = translated("lip_fashion_clothing", there.target)
    assert {"skin", "shoes"} <= set(back.lost)
    assert names["shirt"] == "upper-clothes"


@pytest.mark.parametrize("name", shipped_files())
def test_every_shipped_correspondence_covers_its_two_datasets(name):
    pair = [h for h in DATASETS if name.startswith(f"{h}_") or name.endswith(f"_{h}")]
    assert len(pair) == 2
    first, second = map(get_hierarchy, sorted(pair, key=name.index))
    found, names = translated(name, first)
    assert {found.target.name, first.name} == set(pair)
    assert names.keys() | set(found.lost) == set(first.levels[0].nodes[1:])
    for a, b in names.items():  # sides stay as they are
        for side, other in itertools.permutations(("left-", "right-")):
            assert not (a.startswith(side) and b.startswith(other))
    if second.name != "pascal_person_part":  # its parts are coarser than any others
        assert translated(name, second)[0].target == first


def test_every_two_datasets_have_a_correspondence():
    pairs = itertools.combinations(DATASETS, 2)
    assert all({f"{a}_{b}", f"{b}_{a}"} & set(shipped_files()) for a, b in pairs)


def test_a_result_is_translated_level_by_level(people, parser, hierarchy, tmp_path):
    tree = {
        "classes": ["background", "whole"],
        "three": {"background": "background", "left": "whole", "right": "whole"},
    }
    (tmp_path / "mine.json").write_text(json.dumps(tree))
    class_map = read_class_map(str(tmp_path / "mine.json"), hierarchy)
    result = parser(people(50, 40))
    whole = class_map(result)
    assert whole.names == ("background", "whole")
    np.testing.assert_array_equal(whole.labels, result.labels > 0)
    np.testing.assert_array_equal(whole.mask("whole"), result.labels > 0)
    expected = result.probabilities(0)
    expected = np.stack([expected[..., 0], expected[..., 1:].sum(-1)], -1)
    np.testing.assert_allclose(whole.probabilities("classes"), expected, atol=1e-6)
    assert whole.gates == ({},)
    assert whole.photo is result.photo


def test_the_levels_of_the_target_follow_from_its_leaves():
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    logits = np.random.default_rng(0).normal(size=(4, 5, 20)).astype(np.float32)
    levels = tuple(LIP.labels_at(i, labels) for i in range(3))
    result = Result(labels, levels, LIP, ({},) * 3, lambda level: logits)
    found = read_class_map("lip_atr", LIP)(result)
    for i in range(3):
        np.testing.assert_array_equal(found.levels[i], ATR.labels_at(i, found.labels))
    leaves, halves = found.probabilities(0), found.probabilities("halves")
    parents = np.array(ATR.levels[0].parents)
    for half in range(3):
        sums = leaves[..., parents == half].sum(-1)
        np.testing.assert_allclose(halves[..., half], sums, atol=1e-6)


def test_the_parsers_classes_may_go_by_another_name():
    """One's own dataset with LIP's leaves."""
    mine = Hierarchy("mine", LIP.levels, palette=LIP.palette)
    assert read_class_map("lip_atr", mine).lost == read_class_map("lip_atr", LIP).lost


TREE = {
    "classes": ["background", "L"],
    "three": {"background": "background", "left": "L", "right": None},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["three"].pop("left"), "does not cover three: missing are left"),
        (lambda t: t["three"].update(left="M"), "common classes that are not listed: M"),
        (lambda t: t.update(mine={}), "must name one of .*lip.* not mine"),
        (lambda t: t["three"].update(left=None), "no class of three has a counterpart in map"),
        (lambda t: t.pop("three"), "says nothing about three, .*; write one for it"),
        (lambda t: t.pop("classes"), "no correspondence"),
    ],
)
def test_a_map_that_does_not_fit_is_told(tmp_path, hierarchy, change, message):
    tree = json.loads(json.dumps(TREE))
    path = tmp_path / "map.json"
    path.write_text(json.dumps(tree))
    assert read_class_map(str(path), hierarchy).lost == ("right",)
    change(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError, match=message):
        read_class_map(str(path), hierarchy)


def test_an_unknown_map_is_told_with_those_that_ship():
    with pytest.raises(InputError, match=r"map=lip_art: no such file; shipped are .*lip_atr"):
        read_class_map("lip_art", LIP)
    mine = Level("parts", ("background", "x"), ())
    with pytest.raises(InputError, match="those that ship are atr_cihp"):
        read_class_map("lip_pascal_person_part", ATR)
    with pytest.raises(InputError, match="write one for it"):
        read_class_map("lip_atr", Hierarchy("x", (mine,), palette=((0, 0, 0),) * 2))
