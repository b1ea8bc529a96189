"""Hierarchies: the shipped ones say what the papers say, and trees of any depth work."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from hparse_jax import get_hierarchy
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level, hierarchy_from_json, shipped_hierarchies

REFERENCE = pathlib.Path(__file__).parents[2] / "shared/reference/datasets.json"

# Written by hand: leaf ids of the upper body, of the lower body, and the pairs that swap under
# horizontal flip.
_LIP = ({1, 2, 3, 4, 5, 6, 7, 11, 13, 14, 15}, {8, 9, 10, 12, 16, 17, 18, 19}, "14-15 16-17 18-19")
EXPECTED = {
    "lip": _LIP,
    "synthetic": _LIP,
    "cihp": (_LIP[0] | {10}, _LIP[1] - {10}, _LIP[2]),  # its 10 is torso-skin
    "atr": ({1, 2, 3, 4, 11, 14, 15, 16, 17}, {5, 6, 7, 8, 9, 10, 12, 13}, "9-10 12-13 14-15"),
    "pascal_person_part": ({1, 2, 3, 4}, {5, 6}, ""),
    "fashion_clothing": ({1, 2, 3, 4, 6, 7, 10, 11, 13, 14, 15, 17}, {5, 8, 9, 12, 16}, ""),
}

# Four levels that no dataset has: fingers -> hands -> halves -> body.
DEEP = {
    "name": "deep",
    "levels": [
        {"name": "fine", "nodes": {
            "background": "background", "left-thumb": "left-hand", "left-palm": "left-hand",
            "right-thumb": "right-hand", "right-palm": "right-hand", "sole": "foot"}},
        {"name": "limbs", "nodes": {
            "background": "background", "foot": "lower", "left-hand": "upper",
            "right-hand": "upper"}},
        {"name": "halves", "nodes": {"background": "background", "upper": "body", "lower": "body"}},
        {"name": "whole", "nodes": {"background": None, "body": None}},
    ],
    "flip_pairs": [["left-thumb", "right-thumb"], ["left-palm", "right-palm"]],
    "joints": {"hand": ["left-thumb", "left-palm"]},
    "palette": {
        "background": [0, 0, 0], "left-thumb": [1, 0, 0], "left-palm": [2, 0, 0],
        "right-thumb": [3, 0, 0], "right-palm": [4, 0, 0], "sole": [5, 0, 0]},
}  # fmt: skip


def flat(names) -> Hierarchy:
    """A depth-1 hierarchy: a list of classes."""
    palette = tuple((i, 0, 0) for i in range(len(names)))
    return Hierarchy("flat", (Level("parts", tuple(names), ()),), palette=palette)


def pairs(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(tuple(map(int, pair.split("-"))) for pair in text.split())


def test_every_shipped_hierarchy_is_expected_here():
    assert set(shipped_hierarchies()) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_halves_body_and_flip_pairs_of_the_shipped_hierarchies(name):
    hierarchy = get_hierarchy(name)
    upper, lower, flips = EXPECTED[name]
    ids = np.arange(len(hierarchy.levels[0].nodes), dtype=np.uint8)[None]
    halves = [1 if i in upper else 2 if i in lower else 0 for i in ids[0]]
    assert hierarchy.name == name
    assert [level.name for level in hierarchy.levels] == ["parts", "halves", "body"]
    assert hierarchy.levels[1].nodes == ("background", "upper-body", "lower-body")
    assert hierarchy.levels[2].nodes == ("background", "full-body")
    np.testing.assert_array_equal(hierarchy.labels_at(0, ids), ids)
    np.testing.assert_array_equal(hierarchy.labels_at(1, ids)[0], halves)
    np.testing.assert_array_equal(hierarchy.labels_at(2, ids)[0], ids[0] > 0)
    assert hierarchy.flip_pairs == pairs(flips)


@pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference/datasets.json is absent")
@pytest.mark.parametrize("name", ["lip", "pascal_person_part", "atr", "fashion_clothing"])
def test_shipped_hierarchies_agree_with_the_datasets_reference(name):
    hierarchy, reference = get_hierarchy(name), json.loads(REFERENCE.read_text())[name]
    assert list(hierarchy.levels[0].nodes) == reference["classes"]
    assert [list(pair) for pair in hierarchy.flip_pairs] == reference["flip_pairs"]
    halves = np.asarray(hierarchy.levels[0].parents)
    assert np.flatnonzero(halves == 1).tolist() == reference["upper"]
    assert np.flatnonzero(halves == 2).tolist() == reference["lower"]
    if "palette" in reference:
        assert [list(colour) for colour in hierarchy.palette] == reference["palette"]
    if "ssl_joints" in reference:
        joints = {name: list(ids) for name, ids in hierarchy.joints}
        assert joints == {k: v for k, v in reference["ssl_joints"].items() if k != "unused"}


@pytest.mark.parametrize("name", EXPECTED)
def test_json_form_holds_everything(name):
    hierarchy = get_hierarchy(name)
    assert hierarchy_from_json(json.loads(json.dumps(hierarchy.to_json()))) == hierarchy


def test_joints_are_the_nine_regions_of_the_structure_loss():
    joints = dict(get_hierarchy("lip").joints)
    assert list(joints.values()) == [
        (1, 2, 4, 13), (5, 7, 11), (9, 12), (14,), (15,), (16,), (17,), (18,), (19,)
    ]  # fmt: skip


def test_ignored_pixels_stay_ignored_at_every_level_and_any_leading_shape():
    hierarchy = get_hierarchy("lip")
    labels = np.array([0, 5, 9, 255], np.uint8).reshape(1, 1, 2, 2)
    for level, expected in enumerate([[0, 5, 9, 255], [0, 1, 2, 255], [0, 1, 1, 255]]):
        mapped = hierarchy.labels_at(level, labels)
        assert mapped.shape == labels.shape
        assert mapped.dtype == np.uint8
        assert mapped.ravel().tolist() == expected


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("wrong", [20, 100, 254])
def test_an_unknown_label_id_is_named(level, wrong):
    labels = np.array([[0, 19], [wrong, 255]], np.uint8)
    with pytest.raises(InputError, match=rf"\[{wrong}\].*lip"):
        get_hierarchy("lip").labels_at(level, labels)


def test_label_maps_of_another_type_or_level_are_refused():
    hierarchy = get_hierarchy("lip")
    with pytest.raises(InputError, match="level 3"):
        hierarchy.labels_at(3, np.zeros((2, 2), np.uint8))
    with pytest.raises(InputError, match="level -1"):
        hierarchy.labels_at(-1, np.zeros((2, 2), np.uint8))


def test_a_list_of_classes_alone_is_a_hierarchy():
    hierarchy = flat(["background", "cat", "dog"])
    assert hierarchy.labels_at(0, np.array([[2]], np.uint8)).item() == 2
    assert hierarchy.flip_permutation(0) == (0, 1, 2)


def test_four_levels_map_and_flip():
    hierarchy = hierarchy_from_json(DEEP)
    ids = np.arange(6, dtype=np.uint8)[None]
    assert hierarchy.labels_at(1, ids)[0].tolist() == [0, 2, 2, 3, 3, 1]
    assert hierarchy.labels_at(2, ids)[0].tolist() == [0, 1, 1, 1, 1, 2]
    assert hierarchy.labels_at(3, ids)[0].tolist() == [0, 1, 1, 1, 1, 1]
    assert [hierarchy.flip_permutation(level) for level in range(4)] == [
        (0, 3, 4, 1, 2, 5), (0, 1, 3, 2), (0, 1, 2), (0, 1)
    ]  # fmt: skip
    # a coarser node has its first leaf's colour
    assert hierarchy.palette_at(1)[:, 0].tolist() == [0, 5, 1, 3]


@pytest.mark.parametrize("name", EXPECTED)
def test_swapping_labels_and_climbing_commute(name):
    hierarchy = get_hierarchy(name)
    ids = np.arange(len(hierarchy.levels[0].nodes), dtype=np.uint8)
    swapped = np.asarray(hierarchy.flip_permutation(0), np.uint8)
    np.testing.assert_array_equal(swapped[swapped], ids)
    for level in range(3):
        lifted = np.asarray(hierarchy.flip_permutation(level))
        climbed = hierarchy.labels_at(level, ids[None])[0]
        climbed_of_swapped = hierarchy.labels_at(level, swapped[None])[0]
        np.testing.assert_array_equal(lifted[climbed], climbed_of_swapped)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_mirroring_logits_twice_is_the_identity(name, level):
    hierarchy = get_hierarchy(name)
    nodes = len(hierarchy.levels[level].nodes)
    logits = np.random.default_rng(level).normal(size=(5, 6, nodes))
    swap = np.asarray(hierarchy.flip_permutation(level))
    once = logits[:, ::-1, swap]
    assert (once != logits).any()
    np.testing.assert_array_equal(once[:, ::-1, swap], logits)


def test_flip_pairs_that_tear_a_coarser_node_apart_are_refused():
    torn = json.loads(json.dumps(DEEP))
    torn["flip_pairs"] = torn["flip_pairs"][:1]  # the thumbs swap, the palms do not
    with pytest.raises(InputError, match=r"left-hand|right-hand"):
        hierarchy_from_json(torn)


@pytest.mark.parametrize("name", ["body", "a/b", ""])
def test_level_names_differ_and_make_file_names(name):
    tree = get_hierarchy("lip").to_json()
    assert tree["levels"][2]["name"] == "body"
    tree["levels"][0]["name"] = name
    with pytest.raises(InputError, match="level names"):
        hierarchy_from_json(tree)


def test_leaves_only_keeps_the_leaves():
    parts = get_hierarchy("lip").leaves_only()
    assert len(parts.levels) == 1
    assert parts.levels[0].nodes == get_hierarchy("lip").levels[0].nodes
    assert parts.flip_pairs == get_hierarchy("lip").flip_pairs


def test_a_users_json_file_is_read(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(DEEP))
    hierarchy = get_hierarchy(str(path))
    assert hierarchy == hierarchy_from_json(DEEP)
    assert hierarchy.levels[0].nodes[5] == "sole"


def set_node(tree, level, node, parent):
    tree["levels"][level]["nodes"][node] = parent


def broken(change) -> str:
    tree = json.loads(json.dumps(DEEP))
    change(tree)
    return json.dumps(tree)


EXAMPLE = "an example is .*lip.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"not JSON .*; {EXAMPLE}"),
        ("{", f"not JSON .*; {EXAMPLE}"),
        ("\ud800", f"not JSON .*utf-8.*; {EXAMPLE}"),
        ("[]", f"the hierarchy must be an object, .*, not \\[\\]; {EXAMPLE}"),
        ("null", f"the hierarchy must be an object, .*, not null; {EXAMPLE}"),
        ('{"levels": []}', f"the hierarchy has no entry 'name'; {EXAMPLE}"),
        ('{"name": 5}', f"the hierarchy: name must be text, not 5; {EXAMPLE}"),
        ('{"name": "x"}', f"the hierarchy has no entry 'levels'; {EXAMPLE}"),
        ('{"name": "x", "levels": []}', "hierarchy x: no levels"),
        (broken(lambda t: t.update(levels={})), f"levels must be a list, not {{}}; {EXAMPLE}"),
        (broken(lambda t: t.update(colour=1)), "no such entry: colour; known are flip_pairs, "),
        (broken(lambda t: t["levels"].insert(0, "fine")), r'levels\[0\] must be an object.*"fine"'),
        (
            broken(lambda t: t["levels"][2].pop("name")),
            rf"levels\[2\] has no entry 'name'; {EXAMPLE}",
        ),
        (broken(lambda t: t["levels"][2].update(name=2)), r"levels\[2\]: name must be text, not 2"),
        (broken(lambda t: t["levels"][2].pop("nodes")), "level halves has no entry 'nodes'"),
        (
            broken(lambda t: t["levels"][2].update(nodes=["upper"])),
            "level halves: nodes must be an",
        ),
        (broken(lambda t: set_node(t, 0, "sole", None)), "level fine: node sole has parent null; "),
        (broken(lambda t: set_node(t, 0, "sole", ["foot"])), r'node sole has parent \["foot"\]; '),
        (broken(lambda t: set_node(t, 0, "sole", "nowhere")), "must be one of background, foot,"),
        (broken(lambda t: set_node(t, 0, "sole", "background")), "sole"),
        (broken(lambda t: set_node(t, 1, "ghost", "upper")), "ghost"),
        (broken(lambda t: set_node(t, 3, "body", "x")), 'has parent "x"; it must be null at the'),
        (broken(lambda t: t["palette"].pop("sole")), "palette: no colour for sole"),
        (broken(lambda t: t["palette"].update(sole=[0, 0, 256])), r"sole has colour \[0, 0, 256\]"),
        (
            broken(lambda t: t["palette"].update(sole=[0, 0])),
            r"sole has colour \[0, 0\]; give red",
        ),
        (broken(lambda t: t["palette"].update(sole="red")), 'palette: sole has colour "red"; give'),
        (broken(lambda t: t["palette"].update(sole=["r", "e", "d"])), 'sole has colour .*"r"'),
        (broken(lambda t: t["palette"].update(heel=[0, 0, 1])), '"heel" is no class'),
        (broken(lambda t: t.update(palette=[[0, 0, 0]])), f"palette must be an object.*{EXAMPLE}"),
        (broken(lambda t: t["flip_pairs"].append(["sole", "heel"])), '"heel" is no class'),
        (broken(lambda t: t["flip_pairs"].append(["sole", "left-palm"])), "at most once"),
        (broken(lambda t: t["flip_pairs"].append(["sole"])), r'\["sole"\] must be a pair'),
        (broken(lambda t: t["flip_pairs"].append([5, 6])), "5, 6 is no class"),
        (broken(lambda t: t.update(flip_pairs="x")), 'flip_pairs must be a list, not "x"'),
        (broken(lambda t: t["joints"].update(nose=[])), "nose"),
        (broken(lambda t: t["joints"].update(nose="sole")), 'nose must be a list, not "sole"'),
        (broken(lambda t: t.update(joints=[])), r"joints must be an object.*, not \[\]"),
    ],
)
def test_a_wrong_json_file_is_one_line_with_its_name(tmp_path, text, message):
    path = tmp_path / "mine.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InputError, match=message) as error:
        get_hierarchy(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(DEEP), encoding="utf-8-sig")
    assert get_hierarchy(str(path)) == hierarchy_from_json(DEEP)


PYTHON = """
from hparse_jax.hierarchy import Hierarchy, Level
NODES = ("background", "cat", "dog")
PALETTE = ((0, 0, 0), (9, 9, 9), (8, 8, 8))
def get_hierarchy():
    return {made}
"""
AS_OBJECT = 'Hierarchy("pets", (Level("parts", NODES, ()),), ((1, 2),), PALETTE)'
AS_DICT = """{
    "name": "pets",
    "levels": [{"name": "parts", "nodes": {node: None for node in NODES}}],
    "flip_pairs": [["cat", "dog"]],
    "palette": dict(zip(NODES, PALETTE)),
}"""


@pytest.mark.parametrize("made", [AS_OBJECT, AS_DICT], ids=["object", "dict"])
def test_a_users_python_file_is_run(tmp_path, made):
    path = tmp_path / "pets.py"
    path.write_text(PYTHON.replace("{made}", made))
    hierarchy = get_hierarchy(str(path))
    assert hierarchy.name == "pets"
    assert hierarchy.levels == (Level("parts", ("background", "cat", "dog"), ()),)
    assert hierarchy.flip_permutation(0) == (0, 2, 1)
    assert hierarchy.palette == ((0, 0, 0), (9, 9, 9), (8, 8, 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_hierarchy(:", "cannot run this file .SyntaxError"),
        ("import no_such_module", "cannot run this file .*no_such_module"),
        ("raise SystemExit(3)", "cannot run this file .SystemExit: 3"),
        ("hierarchy = 1", "has no function get_hierarchy"),
        ("def get_hierarchy():\n    return None", "must be an object, .*, not null; an example is"),
        ("def get_hierarchy():\n    return {1: 2, 'a': 3}", "has no entry 'name'"),
        ("def get_hierarchy():\n    return 1 / 0", "division by zero"),
        ("def get_hierarchy():\n    raise ValueError('one\\ntwo')", "one two"),
        ("def get_hierarchy():\n    return {'name': 'x'}", "levels"),
        ("def get_hierarchy():\n    return {'name': 'x', 'levels': []}", "no levels"),
        (PYTHON.replace("{made}", AS_DICT.replace('"cat", "dog"', '"cat", "cow"')), "cow"),
        (PYTHON.replace("{made}", AS_OBJECT.replace("(1, 2)", "(1, 3)")), "mine.py: .* flip pairs"),
        (PYTHON.replace('"cat"', "7").replace("{made}", AS_DICT), "node names must be text"),
    ],
)
def test_a_wrong_python_file_is_one_line_with_its_name(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        get_hierarchy(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def without_the_optional(classes: int) -> dict:
    names = ["background", *(f"class{i}" for i in range(1, classes))]
    return {"name": "bare", "levels": [{"name": "parts", "nodes": dict.fromkeys(names)}]}


def test_without_pairs_and_joints_there_are_none():
    hierarchy = hierarchy_from_json(without_the_optional(5))
    assert hierarchy.flip_permutation(0) == (0, 1, 2, 3, 4)
    assert hierarchy.joints == ()


def test_without_a_palette_all_colours_differ():
    palette = hierarchy_from_json(without_the_optional(254)).palette
    assert len(set(palette)) == 254


def test_without_a_palette_colours_are_those_of_pascal_voc():
    """The colour map published with the VOC development kit, classes 0 to 20."""
    assert hierarchy_from_json(without_the_optional(21)).palette == (
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128),
        (0, 128, 128), (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0),
        (64, 0, 128), (192, 0, 128), (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0),
        (0, 192, 0), (128, 192, 0), (0, 64, 128),
    )  # fmt: skip


def test_a_default_palette_survives_json():
    hierarchy = hierarchy_from_json(without_the_optional(9))
    assert hierarchy_from_json(json.loads(json.dumps(hierarchy.to_json()))) == hierarchy


@pytest.mark.parametrize("name", ["lipp", "nowhere.json", "", "../hierarchies/lip"])
def test_an_unknown_name_lists_the_known(name):
    with pytest.raises(InputError, match="fashion_clothing"):
        get_hierarchy(name)


def test_first_node_must_be_background():
    with pytest.raises(InputError, match="background"):
        flat(["cat", "dog"])


def test_more_classes_than_label_ids_are_refused():
    with pytest.raises(InputError, match="254"):
        flat(["background", *(f"class-{i}" for i in range(254))])


def test_a_hierarchy_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_hierarchy("lip").name = "other"


def test_a_node_is_found_by_its_name_at_the_finest_level():
    tree = get_hierarchy("lip")
    assert tree.find("hair") == (0, 2)
    assert tree.find("lower-body") == (1, 2)
    assert tree.find("full-body") == (2, 1)
    assert tree.find("background") == (0, 0)
    with pytest.raises(InputError, match="no class 'left-arn' in lip; did you mean left-arm or"):
        tree.find("left-arn")
    with pytest.raises(InputError, match=r"there are background, hat, .*full-body"):
        tree.find("0")
