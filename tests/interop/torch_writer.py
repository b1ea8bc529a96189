"""A tiny writer of PyTorch's files, from their description: pickled names, then raw numbers.

Also the pickle instructions by themselves, so that a test can write what no library would.
"""

import collections
import io
import pickle
import struct
import zipfile

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {
    np.dtype("float64"): "Double",
    np.dtype("float32"): "Float",
    np.dtype("float16"): "Half",
    np.dtype("int64"): "Long",
    np.dtype("int32"): "Int",
    np.dtype("int16"): "Short",
    np.dtype("int8"): "Char",
    np.dtype("uint8"): "Byte",
    np.dtype("bool"): "Bool",
}


def name(module: str, attribute: str) -> bytes:
    """GLOBAL: the object of this name."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def many(*values: bytes) -> bytes:
    """A tuple of what these instructions make."""
    return b"(" + b"".join(values) + b"t"


def call(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE: the function called with these arguments."""
    return function + many(*arguments) + b"R"


def mapping(**values: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def storage(kind="Float", key="0", count=4, legacy=False) -> bytes:
    kind = name("torch", f"{kind}Storage")
    view = [b"N"] if legacy else []
    return many(text("storage"), kind, text(key), text("cpu"), whole(count), *view) + b"Q"


def tensor(numbers=None, offset=0, shape=(4,), strides=(1,), function="_rebuild_tensor_v2"):
    """A view of a storage; by default of four numbers."""
    hooks = call(name("collections", "OrderedDict"))
    return call(
        name("torch._utils", function),
        storage() if numbers is None else numbers,
        whole(offset),
        many(*map(whole, shape)),
        many(*map(whole, strides)),
        *([] if function == "_rebuild_tensor" else [b"\x89", hooks]),
    )


def finished(instructions: bytes) -> bytes:
    return b"\x80\x02" + instructions + b"."


FOUR = np.arange(4, dtype="<f4").tobytes()


def zipped(instructions, storages=None, root="archive", compression=zipfile.ZIP_STORED, extra=None):
    """The bytes of a file in the zip form."""
    members = {"data.pkl": finished(instructions), "version": b"3\n", "byteorder": b"little"}
    stored = {"0": FOUR} if storages is None else storages
    members |= {f"data/{key}": raw for key, raw in stored.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for member, raw in (members | (extra or {})).items():
            archive.writestr(f"{root}/{member}", raw)
    return stream.getvalue()


def legacy(instructions, storages=None, little_endian=True):
    """The bytes of a file in the older form. storages: key -> (count, bytes)."""
    machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
    stored = {"0": (4, FOUR)} if storages is None else storages
    parts = [pickle.dumps(x, 2) for x in (MAGIC, 1001, machine)]
    parts += [finished(instructions), pickle.dumps(list(stored), 2)]
    parts += [struct.pack("<q", count) + raw for count, raw in stored.values()]
    return b"".join(parts)


def write(path, arrays: dict[str, np.ndarray], form: str) -> None:
    """A state dict of contiguous arrays, in the form "zip" or "legacy"."""
    items, storages = [], {}
    for number, (key, x) in enumerate(arrays.items()):
        x = np.asarray(x, order="C")
        strides = [s // x.itemsize for s in x.strides]
        numbers = storage(STORAGES[x.dtype], str(number), x.size, legacy=form == "legacy")
        items.append(text(key) + tensor(numbers, 0, x.shape, strides))
        raw = x.astype(x.dtype.newbyteorder("<")).tobytes()
        storages[str(number)] = raw if form == "zip" else (x.size, raw)
    tree = call(name("collections", "OrderedDict")) + b"(" + b"".join(items) + b"u"
    tree += mapping(_metadata=collections_of_versions()) + b"b"
    path.write_bytes(zipped(tree, storages) if form == "zip" else legacy(tree, storages))


def collections_of_versions() -> bytes:
    """What torch keeps beside a state dict: _metadata."""
    versions = pickle.dumps(collections.OrderedDict({"": {"version": 1}}), 2)
    return versions[2:-1]
