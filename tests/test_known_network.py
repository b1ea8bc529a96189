"""The network whose logits are known: rounding passes, errors are seen."""

import math

import numpy as np

from hparse_jax import known_network


def test_rounding_explains_the_errors_of_the_known_network_here():
    """In bfloat16, with 8 bits, they are larger than in float32."""
    errors = [known_network.precision(dtype) for dtype in known_network.LIMITS]
    assert 0 < errors[0] < known_network.limit("float32") < 1e-4
    assert 10 * errors[0] < errors[1] < known_network.limit("bfloat16")


def test_an_error_in_one_place_is_more_than_rounding_explains(monkeypatch):
    """One value of the pooled map, of more than 13,000, wrong by 0.8 %, as jaxlib 0.10 was."""
    pool = known_network.max_pool
    monkeypatch.setattr(known_network, "max_pool", lambda x: pool(x).at[0, 3, 4].multiply(1.008))
    assert known_network.precision("float32") > known_network.limit("float32")


def test_a_result_that_is_no_number_is_infinitely_wrong(monkeypatch):
    monkeypatch.setattr(known_network, "max_pool", lambda x: x * np.nan)
    ones = np.ones((1, *known_network._SIZE, 8))
    monkeypatch.setattr(known_network, "known_logits", lambda *_: ones)
    assert known_network.precision("float32") == math.inf
