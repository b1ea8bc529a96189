"""Learning curves: what is read of a log, and means of neighbours."""

import pytest
from load_script import load_script

from hparse_jax.errors import InputError


@pytest.fixture(scope="module")
def curves():
    return load_script("street/curves.py")


def test_a_measure_has_the_steps_at_which_it_was_taken(curves, tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 5, "train/loss": 3.0}\n{"step": 10, "val/parts/mean_iou": 0.5}\n')
    entries = curves.read_metrics(log)
    assert curves.curve(entries, "train/loss") == ([5], [3.0])
    assert curves.curve(entries, "val/parts/mean_iou") == ([10], [0.5])


def test_neighbours_are_averaged(curves):
    steps, losses = curves.smooth([1, 2, 3, 4], [8.0, 6.0, 4.0, 1.0], 2)
    assert (steps, losses) == ([1.5, 3.5], [7.0, 2.5])


def test_a_run_without_a_log_is_named(curves, tmp_path):
    with pytest.raises(InputError, match=r"metrics\.jsonl: no entries; train the run first"):
        curves.read_metrics(tmp_path / "metrics.jsonl")
