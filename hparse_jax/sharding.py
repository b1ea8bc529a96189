"""Devices and processes: the data mesh, the shardings, and arrays that span processes.

The only file that knows the mesh. All parallelism is over the batch: the state is replicated,
`jax.jit` adds the sums over devices, and batch norm over the sharded batch is exact by itself.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from hparse_jax.errors import InputError


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    automatic: bool = False,
) -> None:
    """Joins the processes of one job; must come before any other use of jax.

    coordinator: HOST:PORT of process 0, with num_processes and process_id. automatic: jax finds
    them by itself (TPU pods, SLURM, Kubernetes). Neither: a single process, nothing to do.
    Raises InputError when only some of the three are given.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if automatic:
        try:
            jax.distributed.initialize()
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"distributed: no other processes found ({error}); give coordinator, num_processes "
                "and process_id instead, or leave it out on a single machine"
            ) from error
    elif all(given):
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif any(given):
        raise InputError(
            "coordinator, num_processes and process_id go together; for automatic detection give "
            "distributed alone"
        )


def data_mesh(devices: list | None = None) -> Mesh:
    """A mesh with one axis, "data", over the given devices, or over all of all processes."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis is sharded over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def global_batch(mesh: Mesh, local: np.ndarray) -> jax.Array:
    """This process's images of the batch -> the sharded array of the whole batch."""
    return jax.make_array_from_process_local_data(batch_sharding(mesh), local)


def check_batch(batch_size: int, accumulate: int, mesh: Mesh) -> None:
    """Raises InputError unless devices and accumulation steps divide the batch evenly."""
    pieces = mesh.size * accumulate
    if batch_size % pieces:
        raise InputError(
            f"config.batch_size={batch_size}: must be a multiple of {mesh.size} devices times "
            f"config.accumulate={accumulate}, for instance {max(1, batch_size // pieces) * pieces}"
        )


def of_first_process(values: np.ndarray) -> np.ndarray:
    """The values that the first process has, float32 on all: what clocks say, for decisions that
    all processes must take alike."""
    if jax.process_count() == 1:
        return values
    return np.asarray(multihost_utils.broadcast_one_to_all(np.float32(values)))


def sum_over_processes(arrays: list) -> list[np.ndarray]:
    """The int64 sums over all processes, exact: they travel as pairs of uint32."""
    arrays = [np.asarray(a, np.int64) for a in arrays]
    if jax.process_count() == 1:
        return arrays
    flat = np.concatenate([a.ravel() for a in arrays])
    gathered = np.asarray(multihost_utils.process_allgather(flat.view(np.uint32)))
    total = np.ascontiguousarray(gathered).view(np.int64).sum(0)
    ends = np.cumsum([a.size for a in arrays])[:-1]
    return [t.reshape(a.shape) for t, a in zip(np.split(total, ends), arrays, strict=True)]
