"""Synthetic people: a pure function of (seed, index) that holds everything a parser must learn."""

import numpy as np
import pytest

import hparse_jax
from hparse_jax.data.synthetic.people import draw

HIERARCHY = hparse_jax.get_hierarchy("synthetic")
ID = {name: i for i, name in enumerate(HIERARCHY.levels[0].nodes)}


@pytest.fixture(scope="module")
def people():
    return [draw(0, index) for index in range(120)]


def test_the_same_person_whatever_was_drawn_before(people):
    for index in (7, 3):
        for again, before in zip(draw(0, index), people[index], strict=True):
            np.testing.assert_array_equal(again, before)
    assert people[3][0].shape != draw(1, 3)[0].shape or (people[3][0] != draw(1, 3)[0]).any()


def test_labels_fit_the_picture_and_the_hierarchy(people):
    for image, labels in people:
        assert image.dtype == labels.dtype == np.uint8
        assert image.shape == (*labels.shape, 3)
        HIERARCHY.labels_at(0, labels)  # raises on an id outside the list
        assert 0.05 < (labels > 0).mean() < 0.9


def test_all_classes_sizes_and_aspect_ratios_occur(people):
    photos_with = sum(np.bincount(np.unique(labels), minlength=20) for _, labels in people)
    assert len(photos_with) == 20
    assert (photos_with >= 10).all()
    heights, widths = np.array([labels.shape for _, labels in people]).T
    assert np.ptp(heights) > 40
    assert np.ptp(widths / heights) > 0.3


@pytest.mark.parametrize("part", ["arm", "leg", "shoe"])
def test_the_side_of_the_image_does_not_tell_left_from_right(people, part):
    left_is_left = []
    for _, labels in people:
        columns = [np.flatnonzero((labels == ID[f"{s}-{part}"]).any(0)) for s in ("left", "right")]
        if all(map(len, columns)):
            left_is_left.append(columns[0].mean() < columns[1].mean())
    assert len(left_is_left) > 30
    assert 0.2 < np.mean(left_is_left) < 0.8


def test_seen_from_the_front_the_left_side_is_on_the_images_right(people):
    """Sunglasses are seen from the front only."""
    sides = []
    for _, labels in people:
        shoes = [np.flatnonzero((labels == ID[f"{s}-shoe"]).any(0)) for s in ("left", "right")]
        if (labels == ID["sunglasses"]).any() and all(map(len, shoes)):
            sides.append(shoes[0].mean() > shoes[1].mean())
    assert len(sides) > 10
    assert np.mean(sides) > 0.9  # a leg can cross the other


def test_some_people_are_cut_by_the_frame_and_some_are_whole(people):
    touches = [
        any((edge > 0).any() for edge in (x[0], x[-1], x[:, 0], x[:, -1])) for _, x in people
    ]
    assert 0.15 < np.mean(touches) < 0.7
