"""One bit flipped, or the file cut, in every file of a run and of a built dataset.

    python experiments/faults/bits.py --folder=/tmp/faults --cases=300

A case changes one file, reads what a user would read, and puts the file back. Outcomes:
named (an InputError with the file's name, or that of the checkpoint), same (what is read is bit for
bit what it was: the change fell into a part that is not read), log (a line of metrics.jsonl with
another number, which nothing notices), silent (something else was read without a word), crash
(another exception). The last two are defects.
"""

import collections
import dataclasses
import hashlib
import logging
import pathlib
import random
import re
import sys
import time

import jax
import numpy as np
from tiny import arguments, data, row, run, training  # beside this script

from hparse_jax.checkpoint import load_run
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError
from hparse_jax.integrity import find_damage
from hparse_jax.training.writer import Writer

STEPS = 2


def main() -> int:
    """Prints a row for each kind of file; 1 when a case was silent or a crash."""
    options = arguments(__doc__, cases=300)
    logging.disable(logging.CRITICAL)
    rng = random.Random(options.seed)
    workdir = options.folder / "bits"
    built = data(options.folder)
    if not (workdir / "checkpoints" / str(STEPS)).is_dir():
        done = run(training(options.folder, workdir, steps=STEPS))
        assert done.returncode == 0, done.stdout
    targets = [*_files(workdir / "checkpoints" / str(STEPS)), *_files(built)]
    targets += [workdir / name for name in ("config.json", "hierarchy.json", "checksums.json")]
    targets += [workdir / "metrics.jsonl"] * 2
    # first every file once, flipped and cut, then files at random
    cases = [(path, how) for path in targets for how in ("flip", "cut")][: options.cases]
    while len(cases) < options.cases:
        cases.append((rng.choice(targets), rng.choice(["flip", "flip", "cut"])))
    counts = collections.defaultdict(collections.Counter)
    defects = []
    readers = {"checkpoint": _read_run, "settings": _read_run, "log": _read_log, "data": _read_data}
    whole = {kind: read(workdir, built) for kind, read in readers.items()}
    for path, how in cases:
        if time.monotonic() > options.end:
            break
        kind = _kind(path, workdir)
        before = path.read_bytes()
        path.write_bytes(_changed(before, how, rng))
        try:
            outcome, said = _outcome(kind, path, workdir, built, readers[kind], whole[kind])
        finally:
            path.write_bytes(before)
        counts[kind][outcome] += 1
        if outcome in ("silent", "crash"):
            defects.append(f"{outcome}: {how} of {path.relative_to(options.folder)}: {said}")
    for kind, found in counts.items():
        row(f"one bit or a cut, {kind}", cases=sum(found.values()), **found)
    print(*defects, sep="\n")
    return 1 if defects else 0


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)


def _kind(path: pathlib.Path, workdir: pathlib.Path) -> str:
    if path.name == "metrics.jsonl":
        return "log"
    if path.parent == workdir:
        return "settings"
    return "checkpoint" if path.is_relative_to(workdir) else "data"


def _changed(data: bytes, how: str, rng: random.Random) -> bytes:
    if how == "cut":
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _outcome(kind, path, workdir, built, read, whole) -> tuple[str, str]:
    try:
        found = read(workdir, built)
    except InputError as error:
        # of an array that orbax cannot restore the step is named, of a dataset its folder
        names = {path.name, f"checkpoints/{STEPS}", "synthetic/1.0.0", "record "}
        named = any(name in str(error) for name in names) and "\n" not in str(error)
        return ("named" if named else "crash"), str(error)
    except Exception as error:
        return "crash", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if kind == "log":
        values, said = found
        damaged = len(re.findall(r"\d+", said.rpartition("line ")[2])) if said else 0
        lost = len(whole[0]) - len(values)
        other = set(values) - set(whole[0])
        if other:
            return "log", ""
        # an unfinished last line goes without a word, as after a kill
        return ("named" if damaged else "same" if not lost else "last"), said
    if kind == "checkpoint" and find_damage(path.parents[_depth(path, workdir)]):
        return "named", ""  # the optimizer's files: training verifies them, parsing reads weights
    return ("same" if found == whole else "silent"), "other values"


def _depth(path: pathlib.Path, workdir: pathlib.Path) -> int:
    """How far above a file of a checkpoint its step's folder is."""
    return len(path.relative_to(workdir / "checkpoints" / str(STEPS)).parts) - 1


def _read_run(workdir: pathlib.Path, built: pathlib.Path) -> tuple:
    run = load_run(workdir, STEPS)
    leaves = jax.tree_util.tree_leaves_with_path(run.variables)
    digest = hashlib.sha256(b"".join(np.asarray(x).tobytes() for _, x in leaves)).hexdigest()
    return dataclasses.asdict(run.config), run.hierarchy, run.step, digest


def _read_log(workdir: pathlib.Path, built: pathlib.Path) -> tuple[list[str], str]:
    said = []
    path = workdir / "metrics.jsonl"
    before = path.read_bytes()
    with Writer(workdir, STEPS, said.append):
        pass
    lines = path.read_text().splitlines()
    path.write_bytes(before)
    return lines, "; ".join(said)


def _read_data(workdir: pathlib.Path, built: pathlib.Path) -> list:
    dataset = BuiltDataset("synthetic", built)
    found = [sorted(dataset.splits.items()), dataset.metadata, dataset.hierarchy]
    for split in dataset.splits:
        for photo_id, image, labels in dataset.photos(split):
            found.append((photo_id, hashlib.sha256(image.tobytes() + labels.tobytes()).digest()))
    return found


if __name__ == "__main__":
    sys.exit(main())
