"""One writer at a time in a folder: a second process is refused while the first one lives.

The lock is a file that its holder touches again and again, with host and process in it; it needs no
flock, which some network file systems lack. That of a process that died on this machine is taken
over at once, that of another machine when it was not touched for `LEASE` seconds.
"""

import contextlib
import logging
import os
import pathlib
import socket
from collections.abc import Callable, Iterator

import filelock

from hparse_jax.errors import InputError

_LOG = logging.getLogger("hparse_jax")
LOCK = ".lock"
LEASE = 30.0


@contextlib.contextmanager
def sole_writer(
    folder: str | os.PathLike, say: Callable[[str], None] = _LOG.warning, lease: float = LEASE
) -> Iterator[Callable[[], None]]:
    """Makes the folder when needed and keeps other `sole_writer`s out of it while the block runs.

    The block gets a function that raises InputError when another process has taken the folder over
    meanwhile, which happens to a process that stood still for longer than `lease` seconds: to be
    called before what must not be written by two. say: gets a line when another machine's lock has
    to be watched for `lease` seconds. Raises InputError when another process writes there.
    """
    path = pathlib.Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    lost = []
    lock = filelock.SoftFileLease(
        path, lease_duration=lease, on_compromise=lost.append, thread_local=False
    )
    try:
        _acquire(lock, path, say, lease)

        def still_ours():
            if lost:
                raise InputError(
                    f"{folder}: this process stood still for so long that another one took the "
                    "folder over; it stops here"
                )

        yield still_ours
    finally:
        lock.release()


def _acquire(
    lock: filelock.SoftFileLease, path: pathlib.Path, say: Callable[[str], None], lease: float
) -> None:
    with contextlib.suppress(filelock.Timeout):
        lock.acquire(timeout=0)
        return
    owner = lock.owner
    who = f"process {owner.pid} on {owner.hostname}" if owner else "another process"
    # what follows "?" tells containers of one host apart
    here = owner is not None and owner.hostname.partition("?")[0] == socket.gethostname()
    if not here:
        say(f"{path.parent}: {who} may be at work there; waiting {lease:.0f} s for a sign of it")
        with contextlib.suppress(filelock.Timeout):
            lock.acquire(timeout=1.2 * lease)
            return
    raise InputError(
        f"{path.parent}: {who} is at work there; wait until it ends, or give another folder"
    )
