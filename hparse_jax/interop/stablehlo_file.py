"""StableHLO files: a function as `jax.export` serialises it, and behind it what it is.

`jax.export.deserialize` reads the first part and ignores the rest, a zip archive whose one member
metadata.json `zipfile` reads from the same file.
"""

import json
import pathlib
import zipfile
from collections.abc import Callable

import jax
import numpy as np

PLATFORMS = ("cpu", "cuda", "tpu")
_MEMBER = "metadata.json"


def write(file: pathlib.Path, function: Callable, metadata: dict) -> None:
    """Writes the function (images, sizes) -> dict for all platforms.

    metadata: its size and batch are those of the images; batch None: any number.
    """
    batch = metadata["batch"] or jax.export.symbolic_shape("b")[0]
    images = jax.ShapeDtypeStruct((batch, *metadata["size"], 3), np.uint8)
    sizes = jax.ShapeDtypeStruct((batch, 2), np.int32)
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(images, sizes)
    file.write_bytes(exported.serialize())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(_MEMBER, json.dumps(metadata))


def load(file: pathlib.Path) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """The function in a file, on the devices of jax."""
    call = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
    return lambda images, sizes: jax.device_get(call(images, sizes))
