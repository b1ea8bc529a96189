"""A parser in one file: what comes back, and what is refused."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy

from hparse_jax.errors import InputError
from hparse_jax.packed import read_header, read_variables, write_packed

HEADER = {"step": 7, "note": "ein Parser, größer", "config": {"crop": [3, 4]}, "hierarchy": {}}


def variables():
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 3, 4, 5)).astype(np.float32)
    variance = np.array([1e-9, 1.0, 3e5], np.float32)  # float16 would lose the first and the last
    return {"params": {"conv": {"kernel": kernel}}, "batch_stats": {"norm": {"var": variance}}}


@pytest.fixture
def packed(tmp_path):
    file = tmp_path / "parser.safetensors"
    write_packed(file, HEADER, variables())
    return file


def test_the_header_comes_back(packed):
    assert read_header(packed) == HEADER


def test_vectors_keep_their_bits_and_kernels_half_of_them(packed):
    before, after = variables(), read_variables(packed)
    np.testing.assert_array_equal(
        after["batch_stats"]["norm"]["var"], before["batch_stats"]["norm"]["var"]
    )
    kernel = after["params"]["conv"]["kernel"]
    assert kernel.dtype == np.float32
    # 11 significant bits
    np.testing.assert_allclose(kernel, before["params"]["conv"]["kernel"], rtol=2**-11, atol=1e-7)


def test_a_kernel_takes_two_bytes_a_number(tmp_path):
    size = write_packed(tmp_path / "a.safetensors", {}, {"kernel": np.zeros((100, 1000))})
    assert 200_000 < size < 201_000


def test_every_changed_byte_is_noticed(packed, tmp_path):
    whole = packed.read_bytes()
    rng = np.random.default_rng(1)
    positions = [*rng.integers(0, len(whole), 60), len(whole) - 1, 0, 8]
    for position in positions:
        broken = bytearray(whole)
        broken[position] ^= 1 << int(rng.integers(8))
        packed.write_bytes(broken)
        for read in (read_header, read_variables):
            with pytest.raises(InputError, match=r"parser\.safetensors: "):
                read(packed)


@pytest.mark.parametrize("kept", [0, 5, 100, 600, -1])
def test_a_truncated_file_is_refused(packed, kept):
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(InputError, match="damaged, or not a safetensors file"):
        read_header(packed)


def test_weights_of_others_are_referred_to_their_verb(tmp_path):
    file = tmp_path / "resnet.safetensors"
    safetensors.numpy.save_file({"conv1.weight": np.zeros((2, 2), np.float32)}, file)
    with pytest.raises(InputError, match="import-weights"):
        read_header(file)


@pytest.mark.parametrize("name", ["parser.onnx", "parser.stablehlo"])
def test_an_exported_parser_is_not_a_workdir(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match=f"{name}: an exported parser, .*; give the folder of its"):
        read_header(tmp_path / name)


def test_a_header_that_lacks_an_entry_is_refused(tmp_path):
    write_packed(tmp_path / "a.safetensors", {"config": {}}, {"kernel": np.zeros((2, 2))})
    with pytest.raises(InputError, match="its header is not whole"):
        read_header(tmp_path / "a.safetensors")


def test_a_later_version_is_not_guessed_at(packed):
    with safetensors.safe_open(packed, framework="numpy") as opened:
        metadata = opened.metadata() | {"version": "2"}
    safetensors.numpy.save_file({"kernel": np.zeros(2, np.float32)}, packed, metadata)
    with pytest.raises(InputError, match="is of version 2, this hparse_jax reads 1"):
        read_header(packed)


def test_a_file_that_exists_stays(packed):
    before = packed.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_packed(packed, {}, {"kernel": np.zeros((2, 2))})
    assert packed.read_bytes() == before


def test_a_weight_out_of_range_leaves_no_file(tmp_path):
    with pytest.raises(InputError, match=r"a/kernel: holds 70000\.0, too large for half precision"):
        write_packed(tmp_path / "a.safetensors", {}, {"a": {"kernel": np.full((1, 1), 7e4)}})
    with pytest.raises(InputError, match=r"a/kernel: holds nan, not a number"):
        write_packed(tmp_path / "a.safetensors", {}, {"a": {"kernel": np.full((1, 1), np.nan)}})
    assert not list(tmp_path.iterdir())


def test_the_name_says_what_it_is(tmp_path):
    with pytest.raises(InputError, match=r"parser\.bin: give a file whose name ends in"):
        write_packed(tmp_path / "parser.bin", {}, {})


def test_the_header_is_plain_json_in_a_safetensors_file(packed):
    """Others read it without this package."""
    with safetensors.safe_open(packed, framework="numpy") as opened:
        assert json.loads(opened.metadata()["header"]) == HEADER


def test_others_can_read_the_file_as_any_new_file(packed, tmp_path):
    (tmp_path / "plain").touch()
    assert packed.stat().st_mode == (tmp_path / "plain").stat().st_mode


def forged(file, header: str, arrays: dict) -> None:
    """A file whose checksum is right, whatever it holds."""
    checksum = hashlib.sha256(header.encode())
    for name, x in sorted(arrays.items()):
        checksum.update(f"{name} {x.dtype} {x.shape}".encode() + x.tobytes())
    metadata = {"format": "hparse_jax", "version": "1", "header": header}
    metadata["sha256"] = checksum.hexdigest()
    safetensors.numpy.save_file(arrays, file, metadata)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("no JSON", "its header is not JSON"),
        ("[" * 100_000, "its header is not JSON"),
        ("[1]", "its header is not whole"),
        (json.dumps(HEADER | {"step": "/../../elsewhere"}), "its step is no number"),
        (json.dumps(HEADER | {"step": -1}), "its step is no number"),
        (json.dumps(HEADER | {"step": True}), "its step is no number"),
        (json.dumps(HEADER | {"note": "red \x1b[31m"}), "its note is not one line"),
        (json.dumps(HEADER | {"note": 5}), "its note is not one line"),
    ],
)
def test_a_forged_header_is_one_line(tmp_path, header, message):
    forged(tmp_path / "a.safetensors", header, {"kernel": np.zeros((2, 2), np.float16)})
    with pytest.raises(InputError, match=message) as caught:
        read_header(tmp_path / "a.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(2, np.float32), "a/b": np.zeros(2, np.float32)}, "a is an array and a fol"),
        ({"a": np.zeros(2, np.float64)}, "arrays of type F64"),
    ],
)
def test_forged_arrays_are_one_line(tmp_path, arrays, message):
    forged(tmp_path / "a.safetensors", json.dumps(HEADER), arrays)
    with pytest.raises(InputError, match=message):
        read_variables(tmp_path / "a.safetensors")
