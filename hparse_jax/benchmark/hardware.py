"""The machine that a benchmark ran on, and the memory that it took."""

import pathlib
import platform
import resource
import sys

import jax

from hparse_jax.doctor import versions
from hparse_jax.processors import usable_cores

_MIB = 2**20


def hardware() -> dict:
    """The machine and the versions, ready for JSON. Starts jax's backend.

    cpu: the model. cores: how many this process may use. accelerator: "8 x TPU v5 lite"; None when
    jax computes on the CPU.
    """
    devices = jax.local_devices()
    on_cpu, found = devices[0].platform == "cpu", versions()
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "accelerator": None if on_cpu else f"{len(devices)} x {devices[0].device_kind}",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "hparse_jax": found["hparse_jax"],
    }


def peak_memory() -> dict:
    """The largest use so far, in MiB: process_mib of this process, without its child processes;
    device_mib of the fullest accelerator, None when jax computes on the CPU."""
    counts = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [count["peak_bytes_in_use"] for count in counts if "peak_bytes_in_use" in count]
    return {
        "process_mib": _process_peak() / _MIB,
        "device_mib": max(peaks) / _MIB if peaks else None,
    }


def _process_peak() -> int:
    """Bytes."""
    status = pathlib.Path("/proc/self/status")
    if status.is_file():  # getrusage counts the parent, too: its peak survives fork and exec
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        if "VmHWM" in fields:  # not in every sandbox
            return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cpu() -> str:
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
