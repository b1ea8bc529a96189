"""Mutated and odd photographs, read in this process, some of them through `hparse predict`.

    python experiments/faults/photos.py --folder=/tmp/faults --mutants=1000

Mutants: six formats of a drawn person with bits flipped, cut, spliced with another file, or with a
part zeroed. Each must be read as an image or named in one line; another exception is a defect. Odd
files: a bomb, 1 x 20,000 pixels, 0 bytes, pipes, sockets, circles of links, folders named like
photographs, names with newlines, dashes, undecodable bytes and 250 characters: one call of
`predict` must parse all good ones, name all others and exit with 1. Peak memory is recorded.
"""

import collections
import io
import os
import pathlib
import random
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time
import warnings
import zlib

from PIL import Image
from tiny import HPARSE, arguments, row, run, training  # beside this script

from hparse_jax.data.synthetic.people import draw
from hparse_jax.errors import InputError
from hparse_jax.inference.photos import read_photo

KINDS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "BMP": "bmp"}
STEPS = 2


def main() -> int:
    """Prints a row for each kind of file; 1 when there was a defect."""
    options = arguments(__doc__, mutants=1000)
    rng = random.Random(options.seed)
    warnings.simplefilter("ignore")
    folder = options.folder / "photos"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "odd").mkdir(parents=True)
    (folder / "deep").mkdir()
    defects, kept = _mutants(folder, options, rng)
    workdir = options.folder / "photos_run"
    if not (workdir / "checkpoints" / str(STEPS)).is_dir():
        done = run(training(options.folder, workdir, steps=STEPS))
        assert done.returncode == 0, done.stdout
    defects += _odd(folder / "odd", workdir, kept)
    print(*defects, sep="\n")
    return 1 if defects else 0


def _mutants(folder, options, rng) -> tuple[list[str], list[tuple[str, bytes, bool]]]:
    """Defects, and thirty mutants (suffix, bytes, whether they could be read)."""
    whole = {suffix: _encoded(kind, index) for index, (kind, suffix) in enumerate(KINDS.items())}
    counts, defects, kept, slowest = collections.Counter(), [], [], 0.0
    for number in range(options.mutants):
        if time.monotonic() > options.end:
            break
        suffix = rng.choice(list(whole))
        data = _mutated(whole, suffix, rng)
        path = folder / f"mutant.{suffix}"
        path.write_bytes(data)
        begin = time.monotonic()
        try:
            image = read_photo(path)
            outcome = "read" if image.ndim == 3 and image.size else "crash"
        except InputError as error:
            in_one_line = path.name in str(error) and str(error).isprintable()
            outcome = "named" if in_one_line else "crash"
            defects += [] if in_one_line else [f"mutant {number}: {str(error)!r}"]
        except Exception as error:
            outcome = "crash"
            defects.append(f"mutant {number} ({suffix}): {type(error).__name__}: {error}")
        slowest = max(slowest, time.monotonic() - begin)
        counts[outcome] += 1
        if len(kept) < 30:
            kept.append((suffix, data, outcome == "read"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row(
        "mutated images",
        cases=sum(counts.values()),
        **counts,
        slowest_s=round(slowest, 2),
        peak_MiB=round(peak),
    )
    return defects, kept


def _encoded(kind: str, index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw(0, index)[0]).save(buffer, kind)
    return buffer.getvalue()


def _mutated(whole: dict[str, bytes], suffix: str, rng: random.Random) -> bytes:
    data = bytearray(whole[suffix])
    how = rng.choice(["flip", "head", "cut", "splice", "zero"])
    if how == "cut":
        return bytes(data[: rng.randrange(len(data))])
    if how == "splice":
        other = whole[rng.choice(list(whole))]
        return bytes(data[: rng.randrange(len(data))]) + other[rng.randrange(len(other)) :]
    if how == "zero":
        first = rng.randrange(len(data))
        last = min(len(data), first + rng.randrange(1, 500))
        data[first:last] = bytes(last - first)
    for _ in range(rng.randrange(1, 20) if how in ("flip", "head") else 0):
        among = min(len(data), 400) if how == "head" else len(data)
        data[rng.randrange(among)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _odd(folder: pathlib.Path, workdir: pathlib.Path, kept: list) -> list[str]:
    """Writes odd files, parses their folder, and returns what is not as wanted."""
    person = _encoded("PNG", 7)
    good = [b"two\nlines.png", b"-dash.png", b"--help.png", b"\xff\xfe.png", "ä 文.png".encode()]
    good += [b"x" * 200 + b".png", b"\x1b[2J.png"]
    for name in good:
        (folder / os.fsdecode(name)).write_bytes(person)
    Image.new("RGB", (1, 20_000), "red").save(folder / "thin.png")
    Image.new("RGB", (20_000, 1), "red").save(folder / "flat.png")
    readable = len(good) + 2
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "bomb.png").write_bytes(_bomb(50_000))
    (folder / ("y" * 250 + ".png")).write_bytes(person)
    (folder / "newline\nbad.png").write_bytes(b"none")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    (folder / "folder.jpg").mkdir()  # an empty folder is no photograph and no error
    (folder / "up").symlink_to("..")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        listening.bind("socket.jpg")
        os.chdir(here)
    bad = ["empty.jpg", "bomb.png", "yyy.png", r"newline\nbad.png", "pipe.jpg", "circle.jpg"]
    bad += ["gone.jpg", "socket.jpg"]
    for number, (suffix, data, could_be_read) in enumerate(kept):
        (folder / f"mutant{number}.{suffix}").write_bytes(data)
        readable += could_be_read
        bad += [] if could_be_read else [f"mutant{number}.{suffix}"]
    command = [*HPARSE, "predict", f"--workdir={workdir}", f"--output={folder.parent / 'parsed'}"]
    begin = time.monotonic()
    done = subprocess.run([*command, str(folder)], capture_output=True, timeout=900)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    lines = done.stderr.decode(errors="backslashreplace").splitlines()
    parsed = len(list((folder.parent / "parsed").rglob("*.json")))
    unnamed = [name for name in bad if not any(name in line for line in lines)]
    strange = [line for line in lines if "Traceback" in line or not line.isprintable()]
    row(
        "odd photographs through predict",
        files=readable + len(bad),
        parsed=parsed,
        of=readable,
        named=len(bad) - len(unnamed),
        of_bad=len(bad),
        exit_code=done.returncode,
        seconds=round(time.monotonic() - begin),
        peak_MiB=round(peak),
    )
    found = [f"not named: {name}" for name in unnamed] + strange
    found += [] if parsed == readable else [f"{parsed} of {readable} parsed"]
    found += [] if done.returncode == 1 else [f"exit code {done.returncode}"]
    return found + ([done.stderr.decode(errors="backslashreplace")[-3000:]] if found else [])


def _bomb(side: int) -> bytes:
    """A PNG of side x side black pixels in some hundred kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_ = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_)

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + side)) for _ in range(side // 10)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


if __name__ == "__main__":
    sys.exit(main())
