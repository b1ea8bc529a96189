"""kill -9 of a training at random moments, every step a checkpoint; then the same command again.

    python experiments/faults/kills.py --folder=/tmp/faults --kills=200

The workdir is emptied when its run is finished: a kill falls on an import, a compilation, a step, a
save or a restore, in the last 70 % of the time that a run takes. The process group is killed, so
that workers die, too. Wanted: every rerun exits as it should, and the losses of every finished run
are those of a run that was left alone, bit for bit.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

from tiny import arguments, row, run, start, training  # beside this script

from hparse_jax.workdir import saved_steps

STEPS = 6


def main() -> int:
    """Prints the row; 1 when a run did not end as the one that was left alone."""
    options = arguments(__doc__, kills=200)
    rng = random.Random(options.seed)
    alone, killed = options.folder / "alone", options.folder / "killed"
    shutil.rmtree(alone, ignore_errors=True)
    shutil.rmtree(killed, ignore_errors=True)
    begin = time.monotonic()
    done = run(training(options.folder, alone, steps=STEPS))  # compiles for the others
    assert done.returncode == 0, done.stdout
    shutil.rmtree(alone)
    begin = time.monotonic()
    done = run(training(options.folder, alone, steps=STEPS))
    assert done.returncode == 0, done.stdout
    seconds = time.monotonic() - begin
    wanted = _losses(alone)

    command = training(options.folder, killed, steps=STEPS)
    kills = after_a_save = finished = latest = 0
    problems = []
    while kills < options.kills and time.monotonic() < options.end:
        process = start(command)
        try:
            output = process.communicate(timeout=rng.uniform(seconds / 3, 1.2 * seconds))[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            before, latest = latest, max(saved_steps(killed), default=0)
            after_a_save += latest != before
            continue
        finished, latest = finished + 1, 0
        problems += _problems(process.returncode, output, killed, wanted)
        shutil.rmtree(killed)
    done = run(command)
    problems += _problems(done.returncode, done.stdout, killed, wanted)
    row(
        "kill -9 of training",
        kills=kills,
        with_checkpoints_since_the_kill_before=after_a_save,
        runs_finished=finished + 1,
        not_as_alone=len(problems),
    )
    print(*problems, sep="\n")
    return 1 if problems else 0


def _problems(code: int, output: str, workdir: pathlib.Path, wanted: list) -> list[str]:
    """What is wrong with a run that was rerun until it ended."""
    if code != 0:
        return [f"exit code {code}: {output[-300:]}"]
    found = _losses(workdir)
    return [] if found == wanted else [f"losses {found}, not {wanted}"]


def _losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["train/loss"]) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
