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


def write(
    file: pathlib.Path,
    function: Callable,
    size: tuple[int, int],
    batch: int | None,
    outputs: list[str],
    metadata: dict,
) -> None:
    """Writes the function (images, sizes) -> dict for all platforms; batch None: any number."""
    b = jax.export.symbolic_shape("b")[0] if batch is None else batch
    images = jax.ShapeDtypeStruct((b, *size, 3), np.uint8)
    sizes = jax.ShapeDtypeStruct((b, 2), np.int32)
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(images, sizes)
    file.write_bytes(exported.serialize())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(_MEMBER, json.dumps(metadata))


def load(file: pathlib.Path) -> Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]:
    """The function in a file, on the devices of jax."""
    call = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
    return lambda images, sizes: jax.device_get(call(images, sizes))
