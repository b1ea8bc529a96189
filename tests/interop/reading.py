"""What the tests of reading weights share."""

import json
import struct

import numpy as np
import pytest
import torch_writer as w

from hparse_jax.errors import InputError
from hparse_jax.interop.torch_file import read_weights

FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])
TENSOR, KIND = w.tensor(), w.name("torch", "FloatStorage")


def assert_equal(read, expected):
    assert list(read) == list(expected)
    for key, x in expected.items():
        assert (read[key].dtype, read[key].shape) == (x.dtype, x.shape), key
        np.testing.assert_array_equal(read[key], x, err_msg=key)


def safetensors_bytes(entries, data=w.FOUR, size=None):
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def entry(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def assert_refused(folder, file, match="."):
    """The message of the refusal, after checking that it is one line naming the file, and that
    nothing was run."""
    with pytest.raises(InputError, match=match) as caught:
        read_weights(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    assert len(message) < len(str(file)) + 400
    assert not (folder / "executed").exists()
    return message
