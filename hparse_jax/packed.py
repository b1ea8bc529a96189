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
    """The header that `write_packed` was given.

    Raises InputError for a file that is missing, damaged or made by something else.
    """
    header = json.loads(_metadata(file)["header"])
    if not {"config", "hierarchy", "step", "note"} <= header.keys():
        raise _damaged(file, "its header is not whole")
    return header


def read_variables(file: str | os.PathLike) -> dict:
    """The variables, float32, after their checksum was verified. Raises InputError."""
    metadata = _metadata(file)
    with _open(file) as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if _checksum(metadata["header"], arrays) != metadata["sha256"]:
        raise _damaged(file, "its checksum is another one")
    return unflatten_dict({k: x.astype(np.float32) for k, x in arrays.items()}, sep="/")


def _stored(name: str, x) -> np.ndarray:
    x = np.asarray(x, np.float32)
    if x.ndim < 2:
        return x
    with np.errstate(over="ignore"):
        half = x.astype(_HALF)
    if not np.isfinite(half).all():
        raise InputError(f"{name}: holds {np.abs(x).max()}, too large for half precision")
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
        raise InputError(f"{file}: no such file")
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
