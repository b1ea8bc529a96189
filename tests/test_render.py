"""Pictures of label maps."""

import io
import pathlib
import runpy

import numpy as np
import pytest
from PIL import Image

from hparse_jax import render
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.render import contact_sheet, label_png, overlay, with_legend

FIGURE7 = pathlib.Path(__file__).parents[1] / "experiments/lip/figure7.py"


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_label_png_holds_the_ids_and_shows_the_palette(level):
    hierarchy = get_hierarchy("lip")
    palette = hierarchy.palette_at(level)
    labels = np.random.default_rng(0).integers(0, len(palette), (13, 17), dtype=np.uint8)
    image = Image.open(io.BytesIO(label_png(labels, palette)))
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), labels)
    np.testing.assert_array_equal(np.asarray(image.convert("RGB")), palette[labels])


def test_an_overlay_leaves_the_background_and_tints_the_rest():
    photo = np.full((20, 20, 3), 100, np.uint8)
    labels = np.zeros((20, 20), np.uint8)
    labels[5:15, 5:15] = 1
    palette = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
    shown = overlay(photo, labels, palette)
    np.testing.assert_array_equal(shown[:4], photo[:4])
    red, green, _ = shown[10, 10].tolist()
    assert red > 150
    assert green < 60


def test_an_overlay_has_one_outline_from_its_first_row_to_its_last(monkeypatch):
    """Compared with the whole picture at once; strips of seven rows meet at every sort of row."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (31, 20, 3), np.uint8)
    labels = np.kron(rng.integers(0, 4, (8, 5), np.uint8), np.ones((4, 4), np.uint8))[:31]
    palette = rng.integers(0, 256, (3, 3), np.uint8)  # label 3 has no colour
    monkeypatch.setattr(render, "_ROWS", 7)
    shown = overlay(photo, labels, palette, 0.5)
    tinted = np.isin(labels, (1, 2))
    colours = np.float64(palette[np.where(tinted, labels, 0)])
    plain = np.where(tinted[..., None], (photo + colours) / 2, photo)
    padded = np.pad(labels, ((1, 0), (1, 0)), mode="edge")
    edge = (labels != padded[:-1, 1:]) | (labels != padded[1:, :-1])
    expected = np.where(edge[..., None], plain // 2 + 127, plain)
    np.testing.assert_allclose(shown, expected, atol=1)


@pytest.mark.parametrize("size", [(40, 24), (600, 400), (2400, 3000)])
def test_the_legend_lists_what_is_there_beside_the_untouched_picture(size):
    hierarchy = get_hierarchy("lip")
    photo = np.full((*size, 3), 90, np.uint8)
    labels = np.zeros(size, np.uint8)
    for i, node in enumerate((2, 5, 13)):
        labels[i::4] = node
    palette = hierarchy.palette_at(0)
    shown = with_legend(photo, labels, hierarchy.levels[0].nodes, palette)
    np.testing.assert_array_equal(shown[: size[0], : size[1]], photo)
    panel = shown[:, size[1] :].reshape(-1, 3)
    for node, colour in enumerate(palette):
        found = (panel == colour).all(-1).sum() >= 100  # a filled square of 12 px or more
        if node:  # the background's black is also the letters'
            assert found == (node in (2, 5, 13)), hierarchy.levels[0].nodes[node]


def test_a_picture_without_people_has_no_panel():
    photo = np.zeros((30, 30, 3), np.uint8)
    labels = np.zeros((30, 30), np.uint8)
    assert with_legend(photo, labels, ["background"], np.zeros((1, 3), np.uint8)).shape[1] == 30


def test_a_contact_sheet_holds_every_cell_in_its_place():
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]], np.uint8)
    cells = [np.full((50, 30 + 20 * i, 3), colour) for i, colour in enumerate(colours)]
    sheet = contact_sheet([cells[:2], cells[2:]], height=40)
    assert sheet.shape[0] == 2 * 40 + 3 * 8
    for i, colour in enumerate(colours):
        rows, columns = np.nonzero((sheet == colour).all(-1))
        assert np.ptp(rows) == 39
        assert (rows.min() > 48) == (i >= 2)
        assert (columns.min() > 40) == (i % 2 == 1)


def test_joints_are_dots_of_their_own_colour_at_their_places():
    draw_joints = runpy.run_path(str(FIGURE7))["draw_joints"]
    photo = np.full((120, 90, 3), 60, np.uint8)
    centres = np.array([[10, 20], [0, 0], [50, 90]])
    present = np.array([True, False, True])
    joints = (("head", (1,)), ("left_arm", (2,)), ("right_arm", (3,)))
    shown = draw_joints(photo, centres, present, joints)
    assert shown.shape == photo.shape
    head, arm = shown[20, 10].tolist(), shown[90, 50].tolist()
    assert head != arm
    for colour in (head, arm):
        assert max(colour) > 200 > min(colour) + 100  # a full colour, not a grey
    grey = (shown == shown[119, 89]).all(-1)
    assert grey[:5, :5].all()  # nothing where the missing joint would be
    assert np.ptp(shown[119, 89]) == 0
