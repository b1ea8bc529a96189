"""PyTorch's files without PyTorch: tensors out of .pth and .safetensors, and nothing else.

A .pth is a pickle, which can name any function for the reader to call. Here the few names that a
file of weights needs are mapped to inert objects of this module; any other name is refused before
anything is called, and so is any opcode that torch.save does not write.
"""

import codecs
import collections
import io
import math
import pathlib
import pickle
import zipfile
from typing import ClassVar, NamedTuple

import ml_dtypes
import numpy as np
import safetensors

from hparse_jax.errors import InputError

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# (PyTorch's name, safetensors' name, NumPy's type)
_TYPES = (
    ("Double", "F64", np.float64),
    ("Float", "F32", np.float32),
    ("Half", "F16", np.float16),
    ("BFloat16", "BF16", ml_dtypes.bfloat16),
    ("Long", "I64", np.int64),
    ("Int", "I32", np.int32),
    ("Short", "I16", np.int16),
    ("Char", "I8", np.int8),
    ("Byte", "U8", np.uint8),
    ("Bool", "BOOL", np.bool_),
)
_SAFETENSORS = {name: dtype for _, name, dtype in _TYPES}
_INSTRUCTIONS = """PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
SHORT_BINSTRING BINSTRING SHORT_BINUNICODE BINUNICODE SHORT_BINBYTES BINBYTES EMPTY_TUPLE TUPLE1
TUPLE2 TUPLE3 TUPLE EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE
BINGET LONG_BINGET GLOBAL STACK_GLOBAL BINPERSID REDUCE BUILD"""


class _Storage(NamedTuple):
    """Raw numbers of a file, by key."""

    key: str
    dtype: type
    count: int


class _Tensor(NamedTuple):
    """A strided view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, state):
        """Attributes such as a parameter's requires_grad are dropped."""


class _Kind:
    """A storage's type, as a pickle names it. Immutable, so that a pickle cannot change it."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        object.__setattr__(self, "dtype", dtype)

    def __setattr__(self, name, value):
        raise pickle.UnpicklingError("it tries to change the reader")


class _Rebuild:
    """`torch._utils._rebuild_tensor` and its successor: makes a view, calls nothing."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *ignored):
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor without a storage")
        numbers = (offset, *shape, *strides)
        sizes = all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        if not sizes or len(shape) != len(strides) or len(shape) > 32:
            raise pickle.UnpicklingError("a tensor with an impossible shape")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Parameter:
    """`torch._utils._rebuild_parameter` and, in files of 2017, Parameter: the tensor itself."""

    __slots__ = ()

    def __call__(self, tensor, *ignored):
        return tensor


class _Dict:
    """`collections.OrderedDict`: a dict that a pickle may fill but not give attributes."""

    __slots__ = ()

    def __call__(self, items=()):
        items = [(key, value) for key, value in items]
        _check_keys([key for key, _ in items])
        return _Ordered(items)


class _Ordered(collections.OrderedDict):
    def __setstate__(self, state):
        """Attributes such as a state dict's _metadata are dropped."""


def _check_keys(keys: list) -> None:
    # hashing nested tuples can run without end, or exhaust the stack
    if not all(isinstance(key, str | int | float) for key in keys):
        raise pickle.UnpicklingError("a dict whose keys are not names or numbers")


_NAMES = {
    ("collections", "OrderedDict"): _Dict(),
    ("torch._utils", "_rebuild_tensor"): _Rebuild(),
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuild(),
    ("torch._utils", "_rebuild_parameter"): _Parameter(),
    ("torch.nn.parameter", "Parameter"): _Parameter(),
    **{("torch", f"{name}Storage"): _Kind(dtype) for name, _, dtype in _TYPES},
}


# The unpickler in Python: the one in C can be made to reserve any amount of memory, and its opcodes
# cannot be refused one by one.
class _Reader(pickle._Unpickler):
    """Accepts tensors, numbers, text, lists, tuples and dicts only."""

    def __init__(self, stream):
        super().__init__(stream)
        self.dtypes: dict[str, type] = {}  # of storages by key: in the older form they follow bare

    def find_class(self, module, name):
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which no weights need; nothing was run"
            )
        return _NAMES[module, name]

    def persistent_load(self, identity):
        kind, storage, key, _, count, *view = identity
        if kind != "storage" or not isinstance(storage, _Kind) or type(count) is not int:
            raise pickle.UnpicklingError("an unknown kind of storage")
        if not isinstance(key, str | int) or count < 0 or view not in ([], [None]):
            raise pickle.UnpicklingError("a storage that is a part of another one")
        self.dtypes[str(key)] = storage.dtype
        return _Storage(str(key), storage.dtype, count)

    def _refuse(self):
        raise pickle.UnpicklingError("it has an opcode that no weights need; nothing was run")

    def _set_item(self):
        _check_keys([self.stack[-2]])
        self.load_setitem()

    def _set_items(self):
        _check_keys(self.stack[::2])
        self.load_setitems()

    _codes = tuple(getattr(pickle, name)[0] for name in _INSTRUCTIONS.split())
    dispatch: ClassVar[dict] = collections.defaultdict(lambda: _Reader._refuse)
    dispatch.update((code, pickle._Unpickler.dispatch[code]) for code in _codes)
    dispatch |= {pickle.SETITEM[0]: _set_item, pickle.SETITEMS[0]: _set_items}


def read_weights(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, as NumPy arrays.

    .pth in the zip form and in the older one, .safetensors. A checkpoint that holds its weights
    under "state_dict" or "model" gives these; a common prefix "module." is removed. Raises
    InputError naming what is wrong with the file.
    """
    path = pathlib.Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file") from error
    _refuse_what_is_no_weights(path, data)
    try:
        if path.suffix == ".safetensors":
            arrays = _read_safetensors(data)
        else:
            tree, storages = _read_zip(data) if data[:2] == b"PK" else _read_legacy(data)
            arrays = _arrays(_state_dict(tree), storages)
    except Exception as error:  # a hostile or broken file fails in any way
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, EOFError | zipfile.BadZipFile):
            reason = f"it is truncated or damaged: {reason}"
        raise InputError(f"{path}: not a readable file of weights ({reason})") from error
    if all(name.startswith("module.") for name in arrays):
        return {name.removeprefix("module."): x for name, x in arrays.items()}
    return arrays


def _refuse_what_is_no_weights(path: pathlib.Path, data: bytes) -> None:
    start = data[:200].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not data:
        raise InputError(f"{path}: is empty; download it again")
    if data.startswith(b"version https://git-lfs"):
        raise InputError(f"{path}: a Git-LFS pointer, not the file itself; fetch it: git lfs pull")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")):
        raise InputError(f"{path}: a web page, not weights; download the file itself")


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    arrays = {}
    for name, entry in safetensors.deserialize(data):
        if entry["dtype"] not in _SAFETENSORS:
            raise ValueError(f"{name} is of type {entry['dtype']}, which no weights need")
        flat = np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]])
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def _read_zip(data: bytes) -> tuple[object, dict[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("two of its members have the same name")
        if any(m.compress_type != zipfile.ZIP_STORED for m in members.values()):
            raise ValueError("its members are compressed; PyTorch stores them as they are")
        if sum(member.file_size for member in members.values()) > len(data):
            raise ValueError("its members claim more bytes than it has")
        pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError(f"a zip archive with {len(pickles)} data.pkl of PyTorch, not one")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in members and archive.read(order).strip() != b"little":
            raise ValueError("its numbers are big-endian")
        tree = _Reader(io.BytesIO(archive.read(pickles[0]))).load()
        start = f"{root}data/"
        keys = [name.removeprefix(start) for name in members if name.startswith(start)]
        return tree, {key: archive.read(start + key) for key in keys}


def _read_legacy(data: bytes) -> tuple[object, dict[str, bytes]]:
    stream = io.BytesIO(data)
    if data[:1] != pickle.PROTO or _Reader(stream).load() != _LEGACY_MAGIC:
        raise ValueError("it does not start like a PyTorch file")
    _Reader(stream).load()  # protocol version
    machine = _Reader(stream).load()  # facts of the machine that wrote it
    if isinstance(machine, dict) and machine.get("little_endian") is False:
        raise ValueError("its numbers are big-endian")
    reader = _Reader(stream)
    tree = reader.load()
    storages = {}
    for key in _Reader(stream).load():
        header = stream.read(8)
        count = int.from_bytes(header, "little", signed=True)
        size = count * np.dtype(reader.dtypes.get(str(key), np.float32)).itemsize
        if len(header) < 8 or not 0 <= size <= len(data):
            raise ValueError("it is truncated")
        storages[str(key)] = stream.read(size)
    return tree, storages


def _state_dict(tree: object) -> dict[str, _Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(tree, dict) and isinstance(tree.get(key), dict):
            tree = tree[key]
    if not isinstance(tree, dict):
        raise ValueError(f"it holds a {type(tree).__name__}, not tensors by name")
    tensors = {str(name): x for name, x in tree.items() if isinstance(x, _Tensor)}
    if not tensors:
        raise ValueError("it holds no tensors by name")
    return tensors


def _arrays(tensors: dict[str, _Tensor], storages: dict[str, bytes]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        raw = storages.get(storage.key)
        dtype = np.dtype(storage.dtype)
        if raw is None or len(raw) < storage.count * dtype.itemsize:
            raise ValueError(f"{name}: its data is truncated")
        if math.prod(tensor.shape) > storage.count:
            raise ValueError(f"{name}: has more numbers than its storage")
        flat = np.frombuffer(raw, dtype, storage.count) if raw else np.zeros(0, dtype)
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        if 0 not in tensor.shape and tensor.offset + last >= storage.count:
            raise ValueError(f"{name}: reaches beyond its storage")
        strides = [s * dtype.itemsize for s in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], tensor.shape, strides, writeable=False
        )
    return arrays
