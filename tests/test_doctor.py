"""The look at a machine: versions, devices, free room, the stream."""

import jax
import numpy as np
import pytest

from hparse_jax import doctor
from hparse_jax.config import Config
from hparse_jax.errors import InputError


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
