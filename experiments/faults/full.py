"""A disk that is full: at some points of a training with saves, of a build and of a prediction.

    unshare -rm python experiments/faults/full.py --folder=/tmp/faults --points=20

The disk is a small tmpfs, mounted in FOLDER/disk, whose size grows from point to point; `unshare`
gives the right to mount it, as root has. Wanted at every point that is too small: exit code 1, one
line, no traceback, no damaged checkpoint and nothing half-written that reads as complete; and when
the disk is made larger the same command ends well, training with the losses of a run that never
lacked room.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import time

import cv2
from PIL import Image
from tiny import HPARSE, arguments, one_line, row, run, training  # beside this script

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.synthetic.people import draw
from hparse_jax.hierarchy import get_hierarchy
from hparse_jax.integrity import find_damage
from hparse_jax.storage import write_json
from hparse_jax.workdir import saved_steps

STEPS = 4


def main() -> int:
    """Prints a row for each command; 1 when a point was not as wanted."""
    options = arguments(__doc__, points=20)
    folder, disk = options.folder / "full", options.folder / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    disk.mkdir(exist_ok=True)
    alone = folder / "alone"
    done = run(training(options.folder, alone, steps=STEPS))
    assert done.returncode == 0, done.stdout
    raw, photos = _raw(folder), folder / "photos"
    photos.mkdir()
    for i in range(8):
        cv2.imwrite(str(photos / f"{i}.png"), draw(0, i)[0][..., ::-1])
    hierarchy = folder / "classes.json"
    write_json(hierarchy, get_hierarchy("synthetic").to_json())
    wanted = _losses(alone)

    def train_is_whole():
        damage = [find_damage(disk / "run/checkpoints" / str(s)) for s in saved_steps(disk / "run")]
        return not any(damage)

    def build_is_whole():
        """There is no dataset, or all of it."""
        if not (disk / "data" / "mine" / "1.0.0").exists():
            return True
        dataset = BuiltDataset("mine", disk / "data")
        return all(sum(1 for _ in dataset.photos(s)) == n for s, n in dataset.splits.items())

    def predict_is_whole():
        for path in disk.rglob("*.png"):
            Image.open(path).load()
        return all(json.loads(path.read_text()) for path in disk.rglob("*.json"))

    cases = {
        "train": (
            training(options.folder, disk / "run", steps=STEPS),
            (100, 9000),
            train_is_whole,
            lambda: _losses(disk / "run") == wanted,
        ),
        "build": (
            [
                *(*HPARSE, "build", "folder", f"--manual_dir={raw}", "--name=mine"),
                *(f"--hierarchy={hierarchy}", f"--data_dir={disk / 'data'}"),
            ],
            (16, 500),
            build_is_whole,
            build_is_whole,
        ),
        "predict": (
            [
                *(*HPARSE, "predict", f"--workdir={alone}", "--formats=png,overlay,json"),
                *(f"--output={disk / 'parsed'}", str(photos)),
            ],
            (16, 400),
            predict_is_whole,
            lambda: len(list((disk / "parsed").glob("*.json"))) == 8,
        ),
    }
    problems = []
    for verb, (command, (least, most), is_whole, is_done) in cases.items():
        points = full = 0
        for point in range(options.points):
            if time.monotonic() > options.end:
                break
            size = least + (most - least) * point // max(1, options.points - 1)
            where = f"{verb} at {size} KiB"
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", disk], check=True
            )
            try:
                done = run(command)
                points += 1
                if done.returncode:
                    full += 1
                    if done.returncode != 1 or not one_line(done.stdout, verb):
                        problems.append(f"{where}: {done.returncode}: {done.stdout[-700:]}")
                    if not is_whole():
                        problems.append(f"{where}: not whole")
                subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
                again = run(command)
                if again.returncode or not is_done():
                    problems.append(f"{where}, then room: {again.stdout[-500:]}")
            finally:
                subprocess.run(["umount", disk], check=True)
        row(f"disk full, {verb}", points=points, of_them_too_small=full)
    row("disk full", problems=len(problems))
    print(*problems, sep="\n\n")
    return 1 if problems else 0


def _raw(folder: pathlib.Path) -> pathlib.Path:
    """The raw folder of a dataset of eight drawn people."""
    raw = folder / "raw"
    for name in ("images", "labels"):
        (raw / name).mkdir(parents=True)
    for i in range(8):
        image, labels = draw(0, i)
        cv2.imwrite(str(raw / "images" / f"{i}.jpg"), image[..., ::-1])
        cv2.imwrite(str(raw / "labels" / f"{i}.png"), labels)
    return raw


def _losses(workdir: pathlib.Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [(line["step"], line["train/loss"]) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
