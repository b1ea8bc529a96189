"""Two processes where one is meant to be: a workdir, a dataset, a folder of results.

    python experiments/faults/twice.py --folder=/tmp/faults

Two trainings in one workdir with the same seed and with different ones, two builds of one dataset,
two `predict` into one folder, each pair started at the same time. Wanted: one of the two is refused
in one line, or both end well and what they leave is whole and as one alone would have left it. Last
a training whose workdir has the lock of a process that was killed.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import time

import cv2
from tiny import HPARSE, arguments, data, one_line, row, run, start, training  # beside this script

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.synthetic.people import draw
from hparse_jax.lock import LOCK

STEPS = 6


def main() -> int:
    """Prints a row a pair; 1 when one is not as wanted."""
    options = arguments(__doc__)
    folder = options.folder / "twice"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data(options.folder)
    alone = folder / "alone"
    done = run(training(options.folder, alone, steps=STEPS))
    assert done.returncode == 0, done.stdout
    good = []

    for name, seeds in (("same seed", (0, 0)), ("other seeds", (0, 1))):
        workdir = folder / name.replace(" ", "_")
        commands = [training(options.folder, workdir, steps=STEPS, seed=seed) for seed in seeds]
        codes, outputs = _both(commands)
        refused = [one_line(o, "train") for c, o in zip(codes, outputs, strict=True) if c == 1]
        steps = [
            json.loads(x)["step"] for x in (workdir / "metrics.jsonl").read_text().splitlines()
        ]
        whole = steps == list(range(1, STEPS + 1))
        row(f"two trainings, {name}", codes=codes, refused_in_one_line=refused, log_whole=whole)
        good.append(sorted(codes) in ([0, 1], [0, 0]) and all(refused) and whole)

    command = [*HPARSE, "build", "synthetic", f"--data_dir={folder / 'data'}"]
    codes, outputs = _both([command, command])
    refused = [one_line(o, "build") for c, o in zip(codes, outputs, strict=True) if c == 1]
    splits = BuiltDataset("synthetic", folder / "data").splits
    row("two builds", codes=codes, refused_in_one_line=refused, splits=splits)
    good.append(sorted(codes) in ([0, 1], [0, 0]) and all(refused))

    photos = folder / "photos"
    photos.mkdir()
    for i in range(12):
        cv2.imwrite(str(photos / f"{i}.png"), draw(0, i)[0][..., ::-1])
    predict = [*HPARSE, "predict", f"--workdir={alone}", "--formats=png,json,rle", str(photos)]
    assert run([*predict, f"--output={folder / 'one'}"]).returncode == 0
    codes, outputs = _both([[*predict, f"--output={folder / 'both'}"]] * 2)
    same = _digests(folder / "one") == _digests(folder / "both")
    row("two predicts into one folder", codes=codes, results_as_of_one=same)
    for code, output in zip(codes, outputs, strict=True):
        if code:
            print(output[-500:])
    good.append(same and codes == [0, 0])

    workdir = folder / "stale"
    command = training(options.folder, workdir, steps=STEPS)
    process = start(command)
    while not (workdir / LOCK).exists():
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    begin = time.monotonic()
    done = run(command)
    seconds = round(time.monotonic() - begin, 1)
    row("lock of a killed process", code=done.returncode, seconds_with_training=seconds)
    good.append(done.returncode == 0)
    return 0 if all(good) else 1


def _both(commands: list[list[str]]) -> tuple[list[int], list[str]]:
    processes = [start(command) for command in commands]
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def _digests(folder: pathlib.Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


if __name__ == "__main__":
    sys.exit(main())
