"""A parser in one file: the weights in half precision, and in the header what they are.

A safetensors file: reading it executes nothing. Kernels are float16. Vectors (biases, batch norm)
stay float32: they are few, and a running variance can leave the range of float16.
"""

import hashlib
import json
import os
import pathlib

import numpy as np
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict, unflatten_dict

from hparse_jax.errors import InputError
from hparse_jax.storage import write_bytes

SUFFIX = ".safetensors"
_EXPORTED = (".onnx", ".stablehlo")
_VERSION = 1
_HALF = np.float16


def write_packed(file: str | os.PathLike, header: dict, variables: dict) -> int:
    """Writes a file that is whole or absent; returns its size in bytes.

    header: {"config", "hierarchy", "step", "note"}, what JSON can hold; `read_header` returns it.
    variables: arrays by nested names. Raises InputError for a file that exists, and for a weight
    that half precision cannot hold.
    """
    file = pathlib.Path(file)
    if file.suffix != SUFFIX:
        raise InputError(f"{file}: give a file whose name ends in {SUFFIX}")
    if file.exists():
        raise InputError(f"{file}: exists already; remove it, or give another name")
    arrays = {name: _stored(name, x) for name, x in flatten_dict(variables, sep="/").items()}
    text = json.dumps(header)
    metadata = {
        "format": "hparse_jax",
        "version": str(_VERSION),
        "header": text,
        "sha256": _checksum(text, arrays),
    }
    # not save_file, whose files nobody but their owner can read
    write_bytes(file, safetensors.numpy.save(arrays, metadata))
    return file.stat().st_size


def read_header(file: str | os.PathLike) -> dict:
    """The header that `write_packed` was given, after the file's checksum was verified.

    Raises InputError for a file that is missing, damaged or made by something else.
    """
    return _read(file)[0]


def read_variables(file: str | os.PathLike) -> dict:
    """The variables, float32, after the file's checksum was verified. Raises InputError."""
    arrays = _read(file)[1]
    folders = {name[:i] for name in arrays for i, letter in enumerate(name) if letter == "/"}
    if folders & arrays.keys():
        raise _damaged(file, f"{min(folders & arrays.keys())} is an array and a folder of arrays")
    return unflatten_dict({k: x.astype(np.float32) for k, x in arrays.items()}, sep="/")


def _read(file: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """Header and arrays. A checksum says that nothing was changed by accident: whoever writes a
    file on purpose can write any header, so what is taken from it is looked at."""
    metadata = _metadata(file)
    with _open(file) as opened:
        names = list(opened.keys())
        kinds = {opened.get_slice(name).get_dtype() for name in names}
        if not kinds <= {"F16", "F32"}:
            raise _damaged(file, f"arrays of type {', '.join(sorted(kinds - {'F16', 'F32'}))}")
        arrays = {name: opened.get_tensor(name) for name in names}
    if _checksum(metadata["header"], arrays) != metadata["sha256"]:
        raise _damaged(file, "its checksum is another one")
    try:
        header = json.loads(metadata["header"])
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "its header is not JSON") from error
    if not isinstance(header, dict) or not {"config", "hierarchy", "step", "note"} <= header.keys():
        raise _damaged(file, "its header is not whole")
    step, note = header["step"], header["note"]
    if type(step) is not int or step < 0 or not isinstance(note, str) or not note.isprintable():
        raise _damaged(file, "its step is no number, or its note is not one line")
    return header, arrays


def _stored(name: str, x) -> np.ndarray:
    x = np.asarray(x, np.float32)
    if x.ndim < 2:
        return x
    with np.errstate(over="ignore"):
        half = x.astype(_HALF)
    if not np.isfinite(half).all():
        worst = np.abs(x).max()
        reason = "too large for half precision" if np.isfinite(worst) else "not a number"
        raise InputError(f"{name}: holds {worst}, {reason}")
    return np.ascontiguousarray(half)


def _checksum(header: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        x = arrays[name]
        digest.update(f"{name} {x.dtype} {x.shape}".encode())
        digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()


def _metadata(file: str | os.PathLike) -> dict[str, str]:
    with _open(file) as opened:
        metadata = opened.metadata() or {}
    if metadata.get("format") != "hparse_jax":
        raise InputError(
            f"{file}: not a parser that `hparse pack` made; published weights are read by "
            "`hparse import-weights`"
        )
    if not {"version", "header", "sha256"} <= metadata.keys():
        raise _damaged(file, "its header is not whole")
    if metadata["version"] != str(_VERSION):
        raise InputError(
            f"{file}: is of version {metadata['version']}, this hparse_jax reads {_VERSION}; "
            "install the version that made it"
        )
    return metadata


def _open(file: str | os.PathLike):
    if not pathlib.Path(file).is_file():
        problem = "is no file" if pathlib.Path(file).exists() else "no such file"
        raise InputError(f"{file}: {problem}")
    if pathlib.Path(file).suffix in _EXPORTED:
        raise InputError(
            f"{file}: an exported parser, which other runtimes run; give the folder of its run, or "
            "a file of `hparse pack`"
        )
    try:
        return safetensors.safe_open(file, framework="numpy")
    except safetensors.SafetensorError as error:
        raise _damaged(file, str(error)) from error


def _damaged(file: str | os.PathLike, reason: str) -> InputError:
    return InputError(f"{file}: damaged, or not a safetensors file ({reason}); copy it again")
