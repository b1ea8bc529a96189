"""What a user takes from a result, on label maps made by hand."""

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as reference

from hparse_jax.errors import InputError
from hparse_jax.hierarchy import Hierarchy, Level
from hparse_jax.inference.result import Result

# pycocotools 2.0.11 decodes through an interface that NumPy 2 wants to be extended
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TREE = Hierarchy(
    "limbs",
    (
        Level("parts", ("background", "arm", "leg", "head"), (0, 2, 1, 2)),
        Level("halves", ("background", "lower", "upper"), (0, 1, 1)),
        Level("body", ("background", "head"), ()),  # a leaf's name at the root, too
    ),
    palette=((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)),
)


@pytest.fixture
def labels():
    labels = np.zeros((30, 40), np.uint8)
    labels[2:10, 5:9], labels[12:20, 6:30], labels[0:2, 0:3] = 1, 2, 3
    return labels


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(1, 256, (30, 40, 3), dtype=np.uint8)


@pytest.fixture
def result(labels, photo):
    levels = tuple(TREE.labels_at(i, labels) for i in range(3))
    return Result(labels, levels, TREE, ({}, {}, {}), lambda level: None, photo)


def test_masks_of_every_level_go_by_name(result, labels):
    np.testing.assert_array_equal(result.mask("leg"), labels == 2)
    np.testing.assert_array_equal(result.mask("upper"), (labels == 1) | (labels == 3))
    np.testing.assert_array_equal(result.mask("head"), labels == 3)  # the finest of that name
    np.testing.assert_array_equal(result.mask("background"), labels == 0)
    assert result.mask("leg").dtype == bool


@pytest.mark.parametrize("take", ["mask", "cutout", "crop"])
def test_an_unknown_name_is_told_with_close_ones(result, take):
    with pytest.raises(InputError, match="no class 'uper' in limbs; did you mean upper"):
        getattr(result, take)("uper")


def test_a_cutout_shows_the_class_and_nothing_of_the_rest(result, labels, photo):
    for name, mask in ((None, labels > 0), ("leg", labels == 2), (["arm", "leg"], labels % 3 > 0)):
        picture = result.cutout(name)
        np.testing.assert_array_equal(picture[mask, :3], photo[mask])
        assert (picture[mask, 3] == 255).all()
        assert not picture[~mask].any()


def test_a_crop_is_the_cutout_in_its_box(result, photo):
    picture = result.crop("arm")
    assert picture.shape == (8, 4, 4)
    np.testing.assert_array_equal(picture[..., :3], photo[2:10, 5:9])
    assert result.crop("upper").shape == (10, 9, 4)


def test_a_class_that_is_not_there_has_no_crop(result, labels):
    empty = np.zeros_like(labels)
    bare = Result(empty, (empty,) * 3, TREE, ({}, {}, {}), lambda level: None, result.photo)
    with pytest.raises(InputError, match="no pixel of this photo is leg"):
        bare.crop("leg")
    assert not bare.cutout().any()


def test_an_overlay_has_its_opacity_and_its_legend(result, photo):
    inside = (slice(14, 19), slice(8, 28))  # of the leg, away from outlines
    for alpha in (0.0, 0.25, 1):
        blend = (1 - alpha) * photo[inside] + alpha * np.array([0, 255, 0])
        assert abs(result.overlay(alpha)[inside] - blend).max() <= 0.5
    assert result.overlay().shape == photo.shape
    beside = result.overlay(legend="side")
    assert beside.shape[1] > photo.shape[1]
    with pytest.raises(InputError, match=r"alpha=2: give an opacity in 0\.\.1"):
        result.overlay(2)
    with pytest.raises(InputError, match="legend=top: give one of none, side"):
        result.overlay(legend="top")


def test_chosen_classes_are_painted_fine_over_coarse(result, labels):
    painted, names, palette = result.painted(["arm", "upper", "lower"])
    np.testing.assert_array_equal(painted, np.array([0, 1, 3, 2])[labels])
    assert names == ("background", "arm", "upper", "lower")
    # a coarser node has the colour of its first leaf
    assert palette.tolist() == [[0, 0, 0], [255, 0, 0], [255, 0, 0], [0, 255, 0]]


def test_a_result_keeps_the_array_and_reads_a_path_again(tmp_path, parser, people):
    photo = people(50, 40)
    Image.fromarray(photo).save(tmp_path / "a.png")
    of_array, of_path = parser(photo), parser(tmp_path / "a.png")
    assert of_array.photo is photo
    assert of_path.photo == tmp_path / "a.png"
    np.testing.assert_array_equal(of_array.cutout(), of_path.cutout())
    assert of_path.to_coco()["images"][0]["file_name"] == "a.png"
    Image.fromarray(people(60, 40)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="40 x 60 pixels, and 40 x 50 when it was parsed"):
        of_path.overlay()


def test_results_of_a_stream_hold_no_photo(parser, people):
    photo = people(50, 40)
    ((_, result),) = parser.stream([(0, photo)])
    with pytest.raises(InputError, match=r"use result\.with_photo\(photo\)"):
        result.overlay()
    np.testing.assert_array_equal(result.with_photo(photo).overlay(), parser(photo).overlay())
    with pytest.raises(InputError, match="the image: 40 x 51 pixels"):
        result.with_photo(people(51, 40))


def test_coco_of_one_photo(result):
    tree = result.to_coco()
    assert tree["images"] == [{"id": 1, "file_name": "", "height": 30, "width": 40}]
    names = {c["id"]: c["name"] for c in tree["categories"]}
    for annotation in tree["annotations"]:
        depth, node = divmod(annotation["category_id"], 1000)
        assert names[annotation["category_id"]] == TREE.levels[depth].nodes[node]
        mask = reference.decode(annotation["segmentation"])
        np.testing.assert_array_equal(mask, result.levels[depth] == node)
    assert len(tree["annotations"]) == 3 + 2 + 1
    assert [a["category_id"] for a in result.to_coco(["leg"])["annotations"]] == [2]
    with pytest.raises(InputError, match="no class 'lego'"):
        result.to_coco(["lego"])


def test_the_repr_says_what_was_found(result):
    assert repr(result) == (
        "<Result 40 x 30 pixels, levels parts, halves, body: leg 16.0%, arm 2.7%, head 0.5%>"
    )


@pytest.mark.parametrize(
    ("photo", "background"),
    [(np.full((1800, 2400, 3), 90, np.uint8), 90), (None, 255), ("gone.jpg", 255)],
)
def test_a_notebook_shows_a_picture_of_bounded_size(labels, photo, background):
    large = np.kron(labels, np.ones((60, 60), np.uint8))
    levels = tuple(TREE.labels_at(i, large) for i in range(3))
    shown = Result(large, levels, TREE, ({}, {}, {}), lambda level: None, photo)
    picture = np.asarray(Image.open(io.BytesIO(shown._repr_png_())))
    assert picture.shape[0] == 600
    assert 800 < picture.shape[1] < 1100  # with the legend
    red, green, blue = picture[320, 300].tolist()  # a leg
    assert green > 180
    assert max(red, blue) < 60
    assert len({*picture[580, 780].tolist()}) == 1  # background is the grey photo, or white
    assert picture[580, 780, 0] == background


def test_save_writes_what_predict_writes(tmp_path, parser, people):
    result = parser(people(50, 40))
    written = result.save(tmp_path / "out" / "v1.2", ("png", "json", "rle", "crops"))
    names = ["v1.2.png", "v1.2_coco.json", "v1.2_crop_left.png", "v1.2_crop_right.png", "v1.2.json"]
    assert [path.name for path in written] == names
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    np.testing.assert_array_equal(Image.open(written[0]), result.labels)
    assert result.save(str(tmp_path / "b.png"), ["png"]) == [tmp_path / "b.png"]
    with pytest.raises(InputError, match="formats=gif: give png, overlay"):
        result.save(tmp_path / "c", ["png", "gif"])
    ((_, bare),) = parser.stream([(0, people(50, 40))])
    with pytest.raises(InputError, match="no photo to show"):
        bare.save(tmp_path / "c")
    assert not list(tmp_path.glob("c*"))
