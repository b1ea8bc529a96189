"""The metrics of a run: metrics.jsonl always, TensorBoard too when it is installed."""

import contextlib
import json
import math
import os
import pathlib
from collections.abc import Callable

from hparse_jax.storage import write_bytes

try:
    from tensorboardX import SummaryWriter
except ImportError:
    SummaryWriter = None


class Writer(contextlib.AbstractContextManager):
    """Appends one JSON object a line to DIR/metrics.jsonl.

    start_step: lines of later steps, left by a run that stopped after its last checkpoint, are
    removed: those steps are repeated. So are lines that cannot be read; `say` gets their numbers,
    except for a last line, which a run that is killed leaves unfinished.
    """

    def __init__(self, workdir: str | os.PathLike, start_step: int, say: Callable[[str], None]):
        self._path = pathlib.Path(workdir) / "metrics.jsonl"
        if self._path.exists():
            lines = self._path.read_bytes().rstrip(b"\n").split(b"\n")
            steps = [_step_of(line) for line in lines]
            if damaged := [str(i) for i, step in enumerate(steps[:-1], 1) if step is None]:
                say(f"{self._path}: damaged, left out: line {', '.join(damaged)}")
            kept = [
                line + b"\n"
                for line, step in zip(lines, steps, strict=True)
                if step is not None and step <= start_step
            ]
            write_bytes(self._path, b"".join(kept))
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(workdir)) if SummaryWriter is not None else None

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line: {"step": step, **values}; on disk when this returns.

        A value that is not finite is written as null, since JSON has no word for it.
        """
        values = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        if self._board is not None:
            for name, value in values.items():
                value = math.nan if value is None else value
                self._board.add_scalar(name, value, step)

    def __exit__(self, *_):
        self._file.close()
        if self._board is not None:
            self._board.close()


def _step_of(line: bytes) -> int | None:
    """None for a line that cannot be read."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None
