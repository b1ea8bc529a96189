"""The order of the photos and the numbers of a run, whatever computes them and wherever it resumes.

    python experiments/faults/order.py --folder=/tmp/faults --points=24

Batches: those of {1, 2, 4, 8} processes with {0, 1, 4} workers each, put together again, beside
the ones of a single process without workers; wanted: the same bits. Resuming: a run of --points
steps is cut back to each of its checkpoints and resumed; wanted: its losses and its last weights,
bit for bit. Devices: a run goes on with 2 devices after 4, and with 8 after 2; wanted: the losses
of one device, but for rounding (1e-4 of them at a small rate, at which rounding does not grow).
"""

import itertools
import json
import os
import pathlib
import shutil
import sys
import time

import jax
import numpy as np
from absl import flags
from tiny import arguments, data, row, run, training  # beside this script

from hparse_jax.checkpoint import load_run
from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.stream import training_stream
from hparse_jax.workdir import saved_steps

PROCESSES, WORKERS, BATCHES = (1, 2, 4, 8), (0, 1, 4), 5  # two epochs and a half
CHANGES = ((4, 3), (2, 6), (8, 9))  # devices until a step


def main() -> int:
    """Prints the rows; 1 when something was not as wanted."""
    options = arguments(__doc__, points=24)
    flags.FLAGS.mark_as_parsed()  # grain hands them to its workers
    problems = [*order(options), *resuming(options), *devices(options)]
    print(*problems, sep="\n")
    return 1 if problems else 0


def order(options) -> list[str]:
    config = Config(dataset="synthetic", batch_size=8, crop=(33, 33), seed=options.seed)
    dataset = BuiltDataset("synthetic", data(options.folder))

    def batches(processes: int, workers: int) -> list[dict]:
        config.workers = workers
        shares = []
        for index in range(processes):
            stream = training_stream(dataset, config, dataset.hierarchy, 0, index, processes)
            with stream:
                shares.append([next(stream) for _ in range(BATCHES)])
        # photo i of a batch is in share i mod P
        return [
            {key: np.stack([share[key] for share in same], 1) for key in same[0]}
            for same in zip(*shares, strict=True)
        ]

    def flat(found: list[dict]) -> bytes:
        return b"".join(np.ascontiguousarray(x[key]).tobytes() for x in found for key in sorted(x))

    wanted, problems, tried = flat(batches(1, 0)), [], 0
    for processes, workers in itertools.product(PROCESSES, WORKERS):
        if time.monotonic() < options.end:
            tried += 1
            if flat(batches(processes, workers)) != wanted:
                problems.append(f"{processes} processes with {workers} workers: other batches")
    row("processes x workers", pairs=tried, other_batches=len(problems))
    return problems


def resuming(options) -> list[str]:
    """A run that is resumed at each of its steps."""
    whole, part = options.folder / "whole", options.folder / "part"
    settings = {"steps": options.points + 1, "keep_checkpoints": options.points + 1}
    _fresh(whole)
    done = run(training(options.folder, whole, **settings))
    assert done.returncode == 0, done.stdout
    wanted, problems, tried = _losses(whole), [], 0
    weights = load_run(whole).variables
    for step in range(1, options.points + 1):
        if time.monotonic() > options.end:
            break
        tried += 1
        _fresh(part)
        shutil.copytree(whole, part)
        _cut_back(part, step)
        done = run(training(options.folder, part, **settings))
        if done.returncode != 0 or f"resumes after step {step}" not in done.stdout:
            problems.append(f"resumed after step {step}: {done.stdout[-300:]}")
        elif _losses(part) != wanted or not _same(load_run(part).variables, weights):
            problems.append(f"resumed after step {step}: other losses or weights")
    row("resumed at a step", steps=tried, not_bit_for_bit=len(problems))
    return problems


def devices(options) -> list[str]:
    """A run whose devices change."""
    settings = {"batch_size": 8, "keep_checkpoints": 9, "optimizer.base_lr": 1e-5}
    one, changing = options.folder / "one", options.folder / "changing"
    for workdir, changes in ((one, ((1, 9),)), (changing, CHANGES)):
        _fresh(workdir)
        for count, until in changes:
            flag = f"--xla_force_host_platform_device_count={count}"
            command = training(options.folder, workdir, steps=9, **settings)
            done = run(command, env=os.environ | {"XLA_FLAGS": flag})
            if done.returncode != 0 or f"{count} device" not in done.stdout:
                return [f"{count} devices until step {until}: {done.stdout[-300:]}"]
            if until < 9:
                _cut_back(workdir, until)
    losses = [np.array(_losses(workdir)) for workdir in (changing, one)]
    largest = float(np.max(np.abs(losses[0] / losses[1] - 1)[:, 1]))
    row("4, then 2, then 8 devices", steps=len(losses[0]), largest_difference=f"{largest:.1e}")
    return [] if largest < 1e-4 else [f"devices 4, 2, 8: losses differ by {largest:.1e}"]


def _fresh(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _cut_back(workdir: pathlib.Path, step: int) -> None:
    """As if the run had been killed after the checkpoint of this step."""
    for later in (x for x in saved_steps(workdir) if x > step):
        shutil.rmtree(workdir / "checkpoints" / str(later))


def _losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["train/loss"]) for line in lines if "train/loss" in line]


def _same(left, right) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(left), jax.tree.leaves(right)))


if __name__ == "__main__":
    sys.exit(main())
