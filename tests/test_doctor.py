"""The look at a machine: what is right passes, what is wrong is seen."""

import math

import jax
import numpy as np
import pytest

from hparse_jax import doctor
from hparse_jax.config import Config
from hparse_jax.errors import InputError


def test_rounding_explains_the_errors_of_the_known_network_here():
    """In bfloat16, with 8 bits, they are neither 0 nor those of float32."""
    errors = [doctor.precision(dtype) for dtype in doctor.LIMITS]
    assert 0 < errors[0] < doctor.limit("float32") < 1e-4
    assert 2**-10 < errors[1] < doctor.limit("bfloat16")


def test_an_error_in_one_place_is_more_than_rounding_explains(monkeypatch):
    """One value of the pooled map, of more than 13,000, wrong by 0.8 %, as jaxlib 0.10 was."""
    pool = doctor.max_pool
    monkeypatch.setattr(doctor, "max_pool", lambda x: pool(x).at[0, 3, 4].multiply(1.008))
    assert doctor.precision("float32") > doctor.limit("float32")


def test_a_result_that_is_no_number_is_infinitely_wrong(monkeypatch):
    monkeypatch.setattr(doctor, "max_pool", lambda x: x * np.nan)
    monkeypatch.setattr(doctor, "known_logits", lambda *_: np.ones((1, *doctor._SIZE, 8)))
    assert doctor.precision("float32") == math.inf


def test_versions_are_those_that_run():
    found = doctor.versions()
    assert (found["jax"], found["numpy"]) == (jax.__version__, np.__version__)


def test_free_room_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert doctor.free_bytes(tmp_path / "run" / "later") > 0
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: not a folder that can be written to"):
        doctor.free_bytes(tmp_path / "file" / "run")


def test_a_backend_that_does_not_start_is_one_line(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'cuda':\n no driver")

    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(InputError, match=r"starts no device \(Unable .* no driver\)"):
        doctor.devices()


def test_the_stream_of_drawn_people_has_a_speed():
    config = Config(dataset="synthetic", crop=(33, 33), batch_size=4)
    assert doctor.stream_speed(config, seconds=0.05) > 0
