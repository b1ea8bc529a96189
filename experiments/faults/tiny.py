"""What the fault campaign breaks: a few drawn people, and a network that trains in seconds.

Python is started as this process was, so that all scripts test the package that they import.
"""

import argparse
import pathlib
import subprocess
import sys
import time

from hparse_jax.data.build import write_dataset
from hparse_jax.data.dataset import dataset_folder
from hparse_jax.data.raw import synthetic
from hparse_jax.processors import usable_cores

PEOPLE = {"train": 16, "val": 4}
FIELDS = {
    "model.depth": 18,
    "model.width": 0.125,
    "model.hierarchy": False,
    "crop": "33,33",
    "batch_size": 4,
    "log_every": 1,
    "eval_every": 0,
    "checkpoint_every": 1,
    "optimizer.base_lr": 0.001,
}
HPARSE = (sys.executable, "-m", "hparse_jax")


def arguments(docstring: str, **counts: int) -> argparse.Namespace:
    """--folder, --seed, --minutes and these counts; the folder is made."""
    parser = argparse.ArgumentParser(description=docstring.partition("\n")[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="for all files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="begin no case after these")
    for name, default in counts.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    found = parser.parse_args()
    found.folder = found.folder.absolute()
    found.folder.mkdir(parents=True, exist_ok=True)
    found.end = time.monotonic() + 60 * found.minutes
    return found


def data(folder: pathlib.Path) -> pathlib.Path:
    """A data_dir with a few drawn people, built unless it is there."""
    target = dataset_folder("synthetic", folder / "data")
    if not target.exists():
        source = synthetic.find()
        numbers = dict.fromkeys(PEOPLE, 0)
        kept = []
        for sample in source.samples:
            numbers[sample.split] += 1
            kept += [sample] * (numbers[sample.split] <= PEOPLE[sample.split])
        source.samples = kept
        write_dataset(target, source)
    return folder / "data"


def training(folder: pathlib.Path, workdir: pathlib.Path, **fields) -> list[str]:
    """The command that trains the tiny network."""
    fields = {**FIELDS, "data_dir": data(folder), **fields}
    overrides = [f"--config.{name.replace('__', '.')}={value}" for name, value in fields.items()]
    return [*HPARSE, "train", "--config=synthetic", f"--workdir={workdir}", *overrides]


def start(command: list[str], **options) -> subprocess.Popen:
    """The command as a process group of its own; its output, both streams, is kept."""
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        start_new_session=True,
        **options,
    )


def run(command: list[str], **options) -> subprocess.CompletedProcess:
    """The command, waited for; at most 10 minutes."""
    process = start(command, **options)
    output = process.communicate(timeout=600)[0]
    return subprocess.CompletedProcess(command, process.returncode, output)


def one_line(output: str, verb: str) -> bool:
    """Whether the output ends with the command's one line and holds no traceback."""
    lines = output.strip().splitlines()
    return "Traceback" not in output and bool(lines) and lines[-1].startswith(f"hparse {verb}: ")


def row(fault: str, **figures) -> None:
    """Prints a row of docs/reliability.md."""
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
    cores = usable_cores()
    print(f"{time.strftime('%Y-%m-%d')} | {fault} | {text} | {cores} core(s)", flush=True)
