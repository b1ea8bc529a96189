"""The metrics of a run: metrics.jsonl always, TensorBoard too when it is installed."""

import contextlib
import json
import math
import os
import pathlib

from hparse_jax.storage import write_bytes

try:
    from tensorboardX import SummaryWriter
except ImportError:
    SummaryWriter = None


class Writer(contextlib.AbstractContextManager):
    """Appends one JSON object a line to DIR/metrics.jsonl.

    start_step: lines of later steps, left by a run that stopped after its last checkpoint, are
    removed: those steps are repeated.
    """

    def __init__(self, workdir: str | os.PathLike, start_step: int):
        self._path = pathlib.Path(workdir) / "metrics.jsonl"
        if self._path.exists():
            lines = self._path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= start_step]
            write_bytes(self._path, "".join(line + "\n" for line in kept).encode())
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(workdir)) if SummaryWriter is not None else None

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: {"step": step, **values}; complete on disk when this returns.

        A value that is not finite is written as null, since JSON has no word for it.
        """
        values = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                value = math.nan if value is None else value
                self._board.add_scalar(name, value, step)

    def __exit__(self, *_):
        self._file.close()
        if self._board is not None:
            self._board.close()


def _step_of(line: str) -> int | float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")  # a line truncated when the run was killed
