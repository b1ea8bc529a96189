"""The model card's measurements, from numbers computed by hand."""

import types

import numpy as np
import pytest
from load_script import load_script


@pytest.fixture(scope="module")
def card():
    return load_script("street/card.py")


def test_pixels_are_counted_by_their_probability_and_255_is_not(card):
    probabilities = np.array([[[0.9, 0.1], [0.28, 0.72], [0.92, 0.08], [0.5, 0.5]]], np.float32)
    result = types.SimpleNamespace(
        levels=(np.array([[0, 1, 0, 0]], np.uint8),), probabilities=lambda depth: probabilities
    )
    bins = card.binned(result, 0, np.array([[0, 0, 1, 255]], np.uint8))
    expected = np.zeros((3, 20))
    expected[:, 18] = 2, 1, 0.9 + 0.92  # 0.90 to 0.95
    expected[:, 14] = 1, 0, 0.72
    np.testing.assert_allclose(bins, expected, atol=1e-6)


def test_the_calibration_error_weighs_the_bins_by_their_pixels(card):
    bins = np.zeros((3, 20))
    bins[:, 19] = 30, 27, 29.4  # accuracy 0.9, probability 0.98
    bins[:, 9] = 10, 6, 4.8  # 0.6, 0.48
    found = card.calibration(bins)
    assert found["accuracy"] == pytest.approx([0.6, 0.9])
    assert found["probability"] == pytest.approx([0.48, 0.98])
    assert found["error"] == pytest.approx(0.25 * 0.12 + 0.75 * 0.08)


def test_the_worst_classes_come_first_with_what_they_are_taken_for(card):
    matrix = np.array([[90, 5, 5, 0], [8, 2, 0, 0], [0, 0, 40, 0], [0, 0, 0, 0]])
    found = card.confusions(matrix, ("background", "belt", "coat", "hat"))
    assert list(found) == ["belt", "background", "coat"]  # no hat in the labels
    assert found["belt"]["iou"] == pytest.approx(2 / 15)
    assert found["belt"]["taken_for"] == pytest.approx(
        {"background": 0.8, "belt": 0.2, "coat": 0.0}
    )


def test_gates_are_grouped_from_the_lowest_up(card):
    gates = [i / 20 for i in range(20)][::-1]
    iou = [gate**2 for gate in gates]
    means, quality = card.by_gate(gates, iou)
    assert means == pytest.approx([0.025 + 0.1 * i for i in range(10)])
    assert quality == pytest.approx(
        [((0.1 * i) ** 2 + (0.1 * i + 0.05) ** 2) / 2 for i in range(10)]
    )


def test_the_correlation_within_a_node_leaves_out_what_nodes_differ_in(card):
    """Higher gates go with lower IoU between the nodes, and with higher IoU within each."""
    steps = range(12)
    hats = [("hat", 0.5 + i / 100, 0.1 + i / 100) for i in steps]
    coats = [("coat", 0.1 + i / 100, 0.8 + i / 100) for i in steps]
    rare = [("belt", i / 100, 1 - i / 100) for i in range(9)]
    assert card.rank_correlation(hats + coats) < 0
    assert card.within_a_node(hats + coats + rare) == pytest.approx(1)
