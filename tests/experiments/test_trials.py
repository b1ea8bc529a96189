"""The trials of recipes: valid settings, one change each, a table of those that are done."""

import dataclasses
import json

import pytest
from load_script import load_script

from hparse_jax.config import flat, validate


@pytest.fixture(scope="module")
def trials():
    return load_script("street/trials.py")


def test_every_trial_is_a_valid_config_and_changes_what_it_says(trials):
    base = flat(trials.small("fashion_clothing"))
    for name, (_, fields) in trials.TRIALS.items():
        config = trials.set_fields(trials.small("fashion_clothing"), fields)
        validate(config)
        changed = {field for field, value in flat(config).items() if value != base[field]}
        assert changed == set(fields), name


def test_a_trial_that_is_done_stands_in_the_table(trials, tmp_path):
    levels = [{"name": "parts", "mean_iou": 0.25}, {"name": "body", "mean_iou": 0.931}]
    (tmp_path / "ema").mkdir()
    (tmp_path / "ema" / trials.EVALUATION).write_text(json.dumps({"levels": levels}))
    (tmp_path / "jitter").mkdir()
    text = trials.tabulate(tmp_path)
    assert text.splitlines() == [
        "| trial | change | parts | body |",
        "|---|---|---|---|",
        "| ema | averaged weights | 25.00 | 93.10 |",
    ]
    assert (tmp_path / "trials.md").read_text() == text


def test_a_trial_that_starts_from_drawn_people_has_a_source_of_its_shape(trials):
    fields = trials.TRIALS["drawn"][1]
    started = trials.set_fields(trials.small("fashion_clothing"), fields)
    source = dataclasses.asdict(trials.small("synthetic").model)
    assert dataclasses.asdict(started.model) == source
