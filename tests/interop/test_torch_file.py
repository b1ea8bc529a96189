"""Files of weights without PyTorch: good ones are read exactly, hostile ones are refused unrun."""

import collections
import contextlib
import io
import json
import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_writer as w

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


def assert_equal(read, expected):
    assert list(read) == list(expected)
    for key, x in expected.items():
        assert (read[key].dtype, read[key].shape) == (x.dtype, x.shape), key
        np.testing.assert_array_equal(read[key], x, err_msg=key)


def read_bytes(folder, data, name="w.pth"):
    (folder / name).write_bytes(data)
    return read_weights(folder / name)


def read_tree(folder, instructions, form="zip"):
    return read_bytes(folder, (w.zipped if form == "zip" else w.legacy)(instructions))


FORMS = pytest.mark.parametrize("form", ["zip", "legacy"])


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


def safetensors_bytes(entries, data=w.FOUR, size=None):
    header = json.dumps(entries).encode()
    return struct.pack("<Q", len(header) if size is None else size) + header + data


def entry(dtype="F32", shape=(4,), offsets=(0, 16)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


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


# ---- hostile files

COMMAND = "touch executed"
PYTHON = "open('executed', 'w').close()"
STACK_GLOBAL = b"\x93"


def stacked(module, attribute):
    return w.text(module) + w.text(attribute) + STACK_GLOBAL


class Asks:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def pickled(*call, protocol=2):
    """The instructions by which Python's own pickle makes this call."""
    data = pickle.dumps(Asks(*call), protocol)
    return data[2:-1] if protocol < 4 else data[11:-1]


NESTED = pickle.dumps(Asks(os.system, COMMAND), 2)
TENSOR, KIND = w.tensor(), w.name("torch", "FloatStorage")
REBUILD = w.name("torch._utils", "_rebuild_tensor_v2")
ORDERED = w.name("collections", "OrderedDict")
CLASS = {"__class__": w.text("x"), "__call__": w.text("x"), "dtype": w.text("x")}

# each makes an object, or dies in the attempt
HOSTILE = {
    "os.system": pickled(os.system, COMMAND),
    "os.system, protocol 4": pickled(os.system, COMMAND, protocol=4),
    "os.system by GLOBAL": w.call(w.name("os", "system"), w.text(COMMAND)),
    "posix.system by GLOBAL": w.call(w.name("posix", "system"), w.text(COMMAND)),
    "posix.system by STACK_GLOBAL": w.call(stacked("posix", "system"), w.text(COMMAND)),
    "nt.system": w.call(w.name("nt", "system"), w.text(COMMAND)),
    "os.system by INST": b"(" + w.text(COMMAND) + b"ios\nsystem\n",
    "os.system by OBJ": b"(" + w.name("os", "system") + w.text(COMMAND) + b"o",
    "os.system by NEWOBJ": w.name("os", "system") + w.many(w.text(COMMAND)) + b"\x81",
    "Popen by NEWOBJ": w.name("subprocess", "Popen") + w.many(w.text(COMMAND)) + b"\x81",
    "Popen by NEWOBJ_EX": w.name("subprocess", "Popen") + w.many(w.text(COMMAND)) + b"}\x92",
    "subprocess.getoutput": w.call(w.name("subprocess", "getoutput"), w.text(COMMAND)),
    "builtins.eval": w.call(w.name("builtins", "eval"), w.text(PYTHON)),
    "builtins.exec": w.call(w.name("builtins", "exec"), w.text(PYTHON)),
    "eval under its name of Python 2": w.call(w.name("__builtin__", "eval"), w.text(PYTHON)),
    "eval by STACK_GLOBAL": w.call(stacked("builtins", "eval"), w.text(PYTHON)),
    "eval through getattr": w.call(
        w.call(w.name("builtins", "getattr"), w.name("builtins", "object"), w.text("__class__"))
    ),
    "a module through __import__": w.call(w.name("builtins", "__import__"), w.text("antigravity")),
    "runpy": w.call(w.name("runpy", "_run_code"), w.text(PYTHON), b"}"),
    "a dotted name, GLOBAL": w.call(w.name("torch.nn", "Module.__init__"), w.text("x")),
    "a dotted name, STACK_GLOBAL": w.call(
        stacked("collections", "OrderedDict.__reduce_ex__.__globals__"), w.text("x")
    ),
    "the reader's own module": w.call(
        w.name("hparse_jax.interop.torch_file", "os.system"), w.text(COMMAND)
    ),
    "the whitelist with a space": w.call(w.name("collections", "OrderedDict "), b"]"),
    "torch.storage._load_from_bytes": w.call(
        w.name("torch.storage", "_load_from_bytes"), pickle.dumps(NESTED, 3)[2:-1]
    ),
    "torch.load": w.call(w.name("torch", "load"), w.text("other.pth")),
    "torch.hub.load": w.call(w.name("torch.hub", "load"), w.text("a/b"), w.text("c")),
    "an array of NumPy": pickle.dumps(np.arange(3), 2)[2:-1],
    "a scalar of NumPy": pickle.dumps(np.float64(3), 2)[2:-1],
    "numpy's exec": w.call(
        w.name("numpy.testing._private.utils", "runstring"), w.text(PYTHON), b"}"
    ),
    "a nested pickle": w.call(w.name("pickle", "loads"), pickle.dumps(NESTED, 3)[2:-1]),
    "a nested pickle as storage": pickle.dumps(NESTED, 3)[2:-1] + b"Q",
    "a nested pickle as a storage's type": w.many(
        w.text("storage"), pickle.dumps(NESTED, 3)[2:-1], w.text("0"), w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a function as a storage's type": w.many(
        w.text("storage"), w.name("os", "system"), w.text("0"), w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a persistent id as text": b"Pstorage\n",
    "an extension code": b"\x82\x01",
    "an extension code of two bytes": b"\x83\x01\x01",
    "an extension code of four bytes": b"\x84\x01\x01\x00\x00",
    "OBJ on a storage's type": b"(" + KIND + w.text(COMMAND) + b"o",
    "NEWOBJ on the whitelist": ORDERED + b")\x81",
    "a call of a storage's type": w.call(KIND, w.text(COMMAND)),
    "a call of a tensor": w.call(TENSOR, w.text(COMMAND)),
    "a call of text": w.call(w.text("os.system"), w.text(COMMAND)),
    "attributes of a storage's type": KIND + w.mapping(**CLASS) + b"b",
    "slots of a storage's type": KIND + w.many(b"N", w.mapping(dtype=w.text("x"))) + b"b",
    "attributes of the tensor's maker": REBUILD + w.mapping(**CLASS) + b"b",
    "slots of the tensor's maker": REBUILD + w.many(b"N", w.mapping(__call__=b"N")) + b"b",
    "attributes of OrderedDict's maker": ORDERED + w.mapping(**CLASS) + b"b",
    "attributes of a dict": b"}" + w.mapping(**CLASS) + b"b",
    "a set": b"\x8f",
    "a byte array of 8 EB": b"\x96" + struct.pack("<Q", 2**63 - 1),
    "bytes of 8 EB": b"\x8e" + struct.pack("<Q", 2**63 - 1),
    "a number of 2 GB": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "text of 4 GB": b"X" + struct.pack("<I", 2**32 - 1),
    "a number in a million digits": b"I" + b"9" * 10**6 + b"\n",
    "nothing at all": b"",
    "an empty stack": b"0R",
}
# each is a tree that ends well, but is no state dict
IMPOSSIBLE = {
    "a list of tensors": b"](" + TENSOR + b"e",
    "a tensor by itself": TENSOR,
    "a number": w.whole(7),
    "no tensors": w.mapping(x=w.whole(7), y=w.text("z")),
    "an empty dict": b"}",
    "tensors too deep": w.mapping(a=w.mapping(b=w.mapping(x=TENSOR))),
    "an unknown storage": w.mapping(x=w.tensor(w.storage(key="9"))),
    "a storage of another type": w.mapping(x=w.tensor(w.storage("ComplexFloat"))),
    "a storage that is text": w.mapping(x=w.tensor(w.text("0"))),
    "a negative count": w.mapping(x=w.tensor(w.storage(count=-1))),
    "a negative count, no numbers": w.mapping(x=w.tensor(w.storage(count=-1), 0, (0,), (1,))),
    "more numbers than stored": w.mapping(x=w.tensor(w.storage(count=5), 0, (5,), (1,))),
    "8 EB of numbers": w.mapping(x=w.tensor(w.storage(count=2**61), 0, (2**61,), (1,))),
    "a count of many digits": w.mapping(x=w.tensor(w.storage(count=2**1000))),
    "a negative offset": w.mapping(x=w.tensor(None, -1)),
    "an offset beyond": w.mapping(x=w.tensor(None, 1)),
    "a negative side": w.mapping(x=w.tensor(None, 0, (-4,), (1,))),
    "a negative stride": w.mapping(x=w.tensor(None, 3, (4,), (-1,))),
    "a view beyond": w.mapping(x=w.tensor(None, 0, (2, 2), (3, 1))),
    "8 EB from one number": w.mapping(x=w.tensor(None, 0, (2**31, 2**31), (0, 0))),
    "sides past 64 bits": w.mapping(x=w.tensor(None, 0, (2**80,), (0,))),
    "sides and strides that differ": w.mapping(x=w.tensor(None, 0, (4,), (1, 1))),
    "a thousand sides": w.mapping(x=w.tensor(None, 0, (1,) * 1000, (1,) * 1000)),
    "sides that are text": w.mapping(
        x=w.call(REBUILD, w.storage(), w.whole(0), w.text("ab"), w.text("ab"))
    ),
    "a dict that holds itself": b"}q\x01" + w.text("state_dict") + b"h\x01s",
    "a name of 200,000 nested tuples": b"}(" + b")" + b"\x85" * 200_000 + TENSOR + b"u",
    "a name of doubled tuples": b"}(" + b")" + b"q\x01h\x01\x86" * 100 + TENSOR + b"u",
    "a pair's name of doubled tuples": w.call(
        ORDERED, b"](](" + b")" + b"q\x01h\x01\x86" * 100 + TENSOR + b"ee"
    ),
    "a key of doubled tuples": w.many(
        w.text("storage"), KIND, b")" + b"q\x01h\x01\x86" * 100, w.text("cpu"), w.whole(4)
    )
    + b"Q",
    "a million nested lists": b"]" * 1_000_000 + b"a" * 999_999,
    "the last number of the memo": b"}r\xff\xff\xff\xff",
}


def refused(folder, file, match="."):
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


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, where `executed` would appear."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_payloads_are_alive(here):
    """Python's own pickle runs them: the refusals below mean something."""
    for name in ("os.system", "posix.system by STACK_GLOBAL", "os.system by INST", "builtins.exec"):
        pickle.loads(w.finished(HOSTILE[name]))
        (here / "executed").unlink()
    pickle.loads(w.finished(w.call(w.name("pickle", "loads"), pickle.dumps(NESTED, 3)[2:-1])))
    (here / "executed").unlink()


@FORMS
@pytest.mark.parametrize("case", HOSTILE)
def test_a_pickle_that_tries_more_than_weights_is_refused(here, form, case):
    write = w.zipped if form == "zip" else w.legacy
    for tree in (HOSTILE[case], w.mapping(x=TENSOR, y=HOSTILE[case])):
        (here / "w.pth").write_bytes(write(tree))
        refused(here, here / "w.pth")


@pytest.mark.parametrize("case", ["os.system by GLOBAL", "posix.system by STACK_GLOBAL"])
def test_the_refusal_says_what_was_asked_for(here, case):
    (here / "w.pth").write_bytes(w.zipped(HOSTILE[case]))
    refused(here, here / "w.pth", match=r"it asks for (os|posix)\.system.*nothing was run")


@pytest.mark.parametrize("part", range(5))
def test_every_pickle_of_the_older_form_is_read_as_carefully(here, part):
    pickles = [pickle.dumps(x, 2) for x in (w.MAGIC, 1001, {"little_endian": True})]
    pickles += [w.finished(w.mapping(x=TENSOR)), pickle.dumps(["0"], 2)]
    pickles[part] = NESTED
    (here / "w.pth").write_bytes(b"".join(pickles) + struct.pack("<q", 4) + w.FOUR)
    refused(here, here / "w.pth", match="nothing was run")


@FORMS
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_tree_that_is_no_state_dict_is_refused(here, form, case):
    (here / "w.pth").write_bytes((w.zipped if form == "zip" else w.legacy)(IMPOSSIBLE[case]))
    refused(here, here / "w.pth")


# ---- broken files

GOOD = {"zip": w.zipped(w.mapping(x=TENSOR)), "legacy": w.legacy(w.mapping(x=TENSOR))}
GOOD["safetensors"] = safetensors_bytes({"x": entry()})


@pytest.mark.parametrize("form", GOOD)
def test_a_file_cut_short_anywhere_is_refused(here, form):
    data, file = GOOD[form], here / ("w.safetensors" if form == "safetensors" else "w.pth")
    file.write_bytes(data)
    assert_equal(read_weights(file), {"x": np.arange(4, dtype=np.float32)})
    for length in range(len(data)):
        file.write_bytes(data[:length])
        refused(here, file)


@pytest.mark.parametrize("form", GOOD)
def test_a_file_with_a_changed_byte_is_read_or_refused(here, form):
    """Whatever is broken, nothing but an InputError comes out."""
    rng = np.random.default_rng(0)
    file = here / ("w.safetensors" if form == "safetensors" else "w.pth")
    for _ in range(300):
        data = bytearray(GOOD[form])
        data[rng.integers(len(data))] = rng.integers(256)
        file.write_bytes(data)
        with contextlib.suppress(InputError):
            read_weights(file)


def zip_of(*members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, raw in members:
            archive.writestr(name, raw)
    return stream.getvalue()


PICKLE = w.finished(w.mapping(x=TENSOR))


def overlapping():
    """A zip whose directory lists the same mebibyte a thousand times."""
    data = zip_of(("a/data.pkl", PICKLE), ("a/data/0", bytes(1 << 20)))
    end = data.index(b"PK\x05\x06")
    start = data.index(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02", start + 4)
    pickles, one = data[start:first], data[first:end]
    copies = b"".join(one.replace(b"a/data/0", b"a/dat%03d" % i) for i in range(1000))
    directory = pickles + copies
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1001, 1001, len(directory), start, 0)
    return data[:start] + directory + tail


def huge_member():
    """A zip whose numbers claim 4 GB."""
    data = zip_of(("a/data.pkl", PICKLE), ("a/data/0", w.FOUR))
    sizes = struct.pack("<II", 16, 16)
    return data.replace(sizes, struct.pack("<II", 2**32 - 2, 2**32 - 2))


BROKEN = {
    "empty": (b"", "empty"),
    "a Git-LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 351000000\n",
        "Git-LFS pointer",
    ),
    "a web page": (b"\n <!DOCTYPE html><html><head></head></html>", "web page"),
    "a web page in capitals": (b"<HTML><BODY>Quota exceeded</BODY></HTML>", "web page"),
    "a web page with a byte order mark": (b"\xef\xbb\xbf<!doctype html>", "web page"),
    "an answer in XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "web page"),
    "a photo": (b"\xff\xd8\xff\xe0" + bytes(range(256)), "does not begin as PyTorch's files do"),
    "text": (b"not found\n", "does not begin as PyTorch's files do"),
    "a bare pickle": (pickle.dumps({"x": [1.0]}), "does not begin as PyTorch's files do"),
    "a zip of another kind": (zip_of(("readme.txt", b"hello")), "0 data.pkl"),
    "an empty zip": (zip_of(), "0 data.pkl"),
    "two data.pkl": (
        zip_of(("a/data.pkl", PICKLE), ("b/data.pkl", PICKLE), ("a/data/0", w.FOUR)),
        "2 data.pkl",
    ),
    "numbers that are missing": (zip_of(("a/data.pkl", PICKLE)), "cut short"),
    "fewer numbers than promised": (
        zip_of(("a/data.pkl", PICKLE), ("a/data/0", w.FOUR[:15])),
        "cut short",
    ),
    "numbers in another folder": (
        zip_of(("a/data.pkl", PICKLE), ("b/data/0", w.FOUR)),
        "cut short",
    ),
    "compressed members": (
        zip_of(
            ("a/data.pkl", PICKLE), ("a/data/0", bytes(10**7)), compression=zipfile.ZIP_DEFLATED
        ),
        "compressed",
    ),
    "members that overlap": (overlapping(), "more bytes than it has"),
    "a member of 4 GB": (huge_member(), "more bytes than it has"),
    "big-endian, zip": (
        zip_of(("a/data.pkl", PICKLE), ("a/byteorder", b"big"), ("a/data/0", w.FOUR)),
        "big-endian",
    ),
    "big-endian, older form": (
        w.legacy(w.mapping(x=TENSOR), little_endian=False),
        "big-endian",
    ),
    "a negative count, older form": (w.legacy(w.mapping(x=TENSOR), {"0": (-4, b"")}), "cut short"),
    "a huge count, older form": (w.legacy(w.mapping(x=TENSOR), {"0": (2**62, b"")}), "cut short"),
    "a part of a storage, older form": (
        w.legacy(
            w.mapping(
                x=w.tensor(
                    w.many(
                        *(w.text("storage"), KIND, w.text("0"), w.text("cpu"), w.whole(4)),
                        w.many(w.text("1"), w.whole(2), w.whole(2)),
                    )
                    + b"Q"
                )
            )
        ),
        "a part of another",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_named_with_its_reason(here, case):
    data, reason = BROKEN[case]
    (here / "w.pth").write_bytes(data)
    refused(here, here / "w.pth", match=reason)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(here):
    data = zip_of(("a/data.pkl", PICKLE), ("a/data.pkl", PICKLE), ("a/data/0", w.FOUR))
    (here / "w.pth").write_bytes(data)
    refused(here, here / "w.pth", match="the same name")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start", [b"", b"PK\x03\x04", b"\x80\x02", pickle.dumps(w.MAGIC, 2)])
def test_random_bytes_are_refused(here, seed, start):
    data = start + np.random.default_rng(seed).bytes(500)
    for name in ("w.pth", "w.safetensors"):
        (here / name).write_bytes(data)
        refused(here, here / name)


@pytest.mark.parametrize(
    "data",
    [
        safetensors_bytes({"x": entry()}, size=2**63),
        safetensors_bytes({"x": entry()}, size=0),
        safetensors_bytes({"x": entry(offsets=(0, 17))}),
        safetensors_bytes({"x": entry(offsets=(4, 16))}),
        safetensors_bytes({"x": entry(shape=(2**40, 2**40))}),
        safetensors_bytes({"x": entry(shape=(-4,))}),
        safetensors_bytes({"x": entry(), "y": entry()}),
        safetensors_bytes({"x": entry("C64", (2,))}),
        safetensors_bytes({"x": entry("F99")}),
        safetensors_bytes([1, 2]),
        safetensors_bytes({"x": [[[[]]]]}),
        struct.pack("<Q", 100_000) + b"[" * 100_000,
        GOOD["zip"],
        GOOD["legacy"],
    ],
)
def test_broken_safetensors_are_refused(here, data):
    (here / "w.safetensors").write_bytes(data)
    refused(here, here / "w.safetensors")


def test_what_is_not_there_or_no_file_is_named(here):
    (here / "folder.pth").mkdir()
    for name in ("folder.pth", "missing.pth", "missing/w.pth"):
        refused(here, here / name, match="give a file")
