"""The processor cores of this process."""

import os


def usable_cores() -> int:
    """How many the process may use, which containers and `taskset` restrict."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
