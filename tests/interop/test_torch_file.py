"""Files of weights without PyTorch: good ones are read exactly."""

import collections
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_writer as w
from reading import FORMS, assert_equal, entry, safetensors_bytes

from hparse_jax.errors import InputError
from hparse_jax.interop.torch_file import read_weights

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "alpha": np.float32([0.5]),
    "scalar": np.float32(7),
    "nothing": np.zeros((0, 3), np.float32),
    "bn.num_batches_tracked": np.int64(-3),
    **{f"of {x}": (RNG.normal(size=(2, 3)) * 9).astype(x) for x in map(str, w.STORAGES)},
}


def read_bytes(folder, data, name="w.pth"):
    (folder / name).write_bytes(data)
    return read_weights(folder / name)


def read_tree(folder, instructions, form="zip"):
    return read_bytes(folder, (w.zipped if form == "zip" else w.legacy)(instructions))


@FORMS
def test_arrays_of_every_type_come_back_exactly(tmp_path, form):
    w.write(tmp_path / "w.pth", ARRAYS, form)
    assert_equal(read_weights(tmp_path / "w.pth"), ARRAYS)


@FORMS
@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (2, 2), (1, 2), [[0, 2], [1, 3]]),
        (1, (2,), (2,), [1, 3]),
        (3, (), (), 3),
        (3, (1, 1), (9, 9), [[3]]),
        (4, (0,), (1,), []),
        (0, (2, 2), (1, 1), [[0, 1], [1, 2]]),
    ],
)
def test_views_are_strided_as_the_file_says(tmp_path, form, offset, shape, strides, expected):
    read = read_tree(tmp_path, w.mapping(x=w.tensor(None, offset, shape, strides)), form)
    assert_equal(read, {"x": np.float32(expected)})


def test_bfloat16_numbers_are_the_upper_halves_of_float32(tmp_path):
    raw = np.float32([1.5, -2.0, 0.15625, 3.0]).view(np.uint16)[1::2].tobytes()
    numbers = w.zipped(w.mapping(x=w.tensor(w.storage("BFloat16"))), {"0": raw})
    read = read_bytes(tmp_path, numbers)["x"].astype(np.float32)
    np.testing.assert_array_equal(read, [1.5, -2.0, 0.15625, 3.0])


@FORMS
@pytest.mark.parametrize(
    "tree",
    [
        w.mapping(x=w.tensor()),
        w.call(w.name("collections", "OrderedDict")) + b"(" + w.text("x") + w.tensor() + b"u",
        # as OrderedDict was pickled by Python 2: from a list of pairs
        w.call(
            w.name("collections", "OrderedDict"), b"](](" + w.text("x") + w.tensor() + b"e" + b"e"
        ),
        w.mapping(state_dict=w.mapping(x=w.tensor()), epoch=w.whole(3), best=b"G" + bytes(8)),
        w.mapping(model=w.mapping(x=w.tensor())),
        w.mapping(state_dict=w.mapping(**{"module.x": w.tensor()})),
        w.mapping(x=w.tensor(), names=b"](" + w.text("a") + b"e", nothing=b"N", flag=b"\x88"),
        w.mapping(x=w.call(w.name("torch._utils", "_rebuild_parameter"), w.tensor(), b"\x88")),
        # as PyTorch wrote before 0.4, torchvision's files of 2017 among them
        w.mapping(x=w.tensor(function="_rebuild_tensor")),
        w.mapping(
            x=w.call(w.name("torch.nn.parameter", "Parameter"), w.tensor())
            + w.many(b"\x88", b"\x89", b"N")
            + b"b"
        ),
    ],
)
def test_every_way_of_holding_one_tensor(tmp_path, form, tree):
    assert_equal(read_tree(tmp_path, tree, form), {"x": np.arange(4, dtype=np.float32)})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle(tmp_path, protocol):
    tree = pickle.dumps(
        collections.OrderedDict({"a": 1, "b": [2.5, None, "ä", (1, 2**40)]}), protocol
    )
    start = 11 if protocol > 3 else 2  # after the protocol, and the frame with its length
    # the last instruction, STOP, gives way to one more entry
    tree = tree[start:-1] + w.text("x") + w.tensor() + b"s"
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("a/data.pkl", bytes([0x80, protocol]) + tree + b".")
        archive.writestr("a/data/0", w.FOUR)
    assert_equal(read_weights(tmp_path / "w.pth"), {"x": np.arange(4, dtype=np.float32)})


def test_safetensors_are_read_and_lose_the_same_prefix(tmp_path):
    entries = {"module.x": entry(shape=(2,), offsets=(0, 8))}
    entries["module.y"] = entry("BF16", (4,), (8, 16))
    halves = np.float32([1.5, -2.0, 0.15625, 3.0]).view(np.uint16)[1::2].tobytes()
    data = safetensors_bytes(entries, np.float32([5, 6]).tobytes() + halves)
    expected = {
        "x": np.float32([5, 6]),
        "y": np.array([1.5, -2.0, 0.15625, 3.0], ml_dtypes.bfloat16),
    }
    read = read_bytes(tmp_path, data, "w.safetensors")
    assert_equal({key: read[key] for key in sorted(read)}, expected)


# ---- what PyTorch itself writes


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch writes the files that are read here")


def expected_of(torch, tensors):
    wide = {key: x.detach() for key, x in tensors.items()}
    return {
        key: x.float().numpy().astype(ml_dtypes.bfloat16)
        if x.dtype == torch.bfloat16
        else x.numpy()
        for key, x in wide.items()
    }


@pytest.mark.parametrize("zip_form", [True, False])
def test_what_pytorch_saves_is_read_exactly(tmp_path, torch, zip_form):
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    kinds = [*map(str, w.STORAGES), "bfloat16"]
    tensors = {
        "whole": base,
        "turned": base.permute(2, 0, 1),
        "every second": base[:, 1::2, 2:],
        "the same storage": base[1],
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 7),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        **{kind: (torch.randn(3, 2) * 9).to(getattr(torch, kind)) for kind in kinds},
    }
    form = {"_use_new_zipfile_serialization": zip_form}
    expected = expected_of(torch, tensors)
    prefixed = {f"module.{key}": x for key, x in tensors.items()}
    trees = [tensors, {"epoch": 3, "state_dict": collections.OrderedDict(prefixed), "best": 0.5}]
    for number, tree in enumerate(trees):
        torch.save(tree, tmp_path / f"{number}.pth", **form)
        assert_equal(read_weights(tmp_path / f"{number}.pth"), expected)


@pytest.mark.parametrize("zip_form", [True, False])
def test_a_modules_state_dict_is_read_exactly(tmp_path, torch, zip_form):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = module.state_dict()  # an OrderedDict with the attribute _metadata
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=zip_form)
    assert_equal(read_weights(tmp_path / "w.pth"), expected_of(torch, state))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pytorchs_files_of_later_protocols_are_read(tmp_path, torch, protocol):
    state = torch.nn.BatchNorm2d(4).state_dict()
    torch.save(state, tmp_path / "w.pth", pickle_protocol=protocol)
    assert_equal(read_weights(tmp_path / "w.pth"), expected_of(torch, state))


@pytest.mark.parametrize("zip_form", [True, False])
def test_a_whole_pickled_module_is_refused_by_name(tmp_path, torch, zip_form):
    module = torch.nn.Linear(2, 2)
    torch.save(module, tmp_path / "w.pth", _use_new_zipfile_serialization=zip_form)
    with pytest.raises(InputError, match=r"w\.pth: .*torch\.nn\.modules\.linear\.Linear"):
        read_weights(tmp_path / "w.pth")
