"""What `hparse doctor` looks at besides precision: versions, devices, free room, the stream."""

import importlib.metadata
import os
import pathlib
import platform
import shutil
import tempfile
import time

import jax

from hparse_jax.config import Config
from hparse_jax.data.build import write_dataset
from hparse_jax.data.dataset import BuiltDataset, dataset_folder
from hparse_jax.data.raw import synthetic
from hparse_jax.data.stream import training_stream
from hparse_jax.errors import InputError
from hparse_jax.processors import usable_cores

_LIBRARIES = ("hparse_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_READERS = ("tensorflow-datasets", "array-record", "opencv-python-headless", "pillow")
_PEOPLE = 32


def versions() -> dict[str, str]:
    """Python's version, and those of the libraries that compute and that read files."""
    found = {"Python": platform.python_version()}
    for name in (*_LIBRARIES, *_READERS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def devices() -> list[str]:
    """A line for each kind of device. Raises InputError when jax cannot start any."""
    try:
        found = jax.devices()
    except RuntimeError as error:
        raise InputError(
            f"jax starts no device ({' '.join(str(error).split())[:200]}); look at JAX_PLATFORMS, "
            "at the driver, and at the extra that was installed"
        ) from error
    kinds = [device.device_kind for device in found]
    lines = [f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds)]
    return [*lines, f"{usable_cores()} processor cores for this process"]


def free_bytes(folder: str | os.PathLike) -> int:
    """Free bytes where a folder is, or will be made. Raises InputError when it is not writable."""
    place = pathlib.Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{place}: not a folder that can be written to; give another one")
    return shutil.disk_usage(place).free


def stream_speed(config: Config, seconds: float = 1.0) -> float:
    """Photographs a second that the training stream gives, of drawn people, in this process.

    config: of the stream, without workers. seconds: how long it is measured, after the first batch.
    """
    source = synthetic.find()
    source.samples = [sample for sample in source.samples if sample.split == "train"][:_PEOPLE]
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset_folder("synthetic", folder), source)
        dataset = BuiltDataset("synthetic", folder)
        with training_stream(dataset, config, dataset.hierarchy) as batches:
            next(batches)
            begin, photos = time.perf_counter(), 0
            while (passed := time.perf_counter() - begin) < seconds:
                photos += len(next(batches)["id"])
    return photos / passed
