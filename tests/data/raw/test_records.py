"""What is in a built dataset: the same whatever wrote it, and what its metadata says of it."""

import os
import pathlib
import random
import time

import numpy as np
import pytest
from PIL import Image
from raw_folders import (
    PEOPLE,
    metadata,
    records,
    write,
    write_people,
    write_sample,
)

from hparse_jax.data.build import build
from hparse_jax.data.raw import records as records_module
from hparse_jax.data.raw.records import Tally
from hparse_jax.data.raw.source import LeftOut, Sample
from hparse_jax.errors import InputError

SIZES = [(6, 5), (9, 4), (3, 12), (20, 7), (11, 11), (8, 16), (5, 5), (14, 3), (7, 30), (10, 10)]
TRAIN = [f"person{i}" for i in range(7)]
VAL = [f"person{i}" for i in range(7, 10)]


@pytest.fixture
def raw(tmp_path):
    """Ten photos of many sizes; the first three for validation lack the last class."""
    folder = tmp_path / "raw"
    for i, (name, size) in enumerate(zip(TRAIN + VAL, SIZES, strict=True)):
        write_sample(folder, name, size, i, classes=4 if name in TRAIN else 3)
    write(folder / "train.txt", "\n".join(TRAIN))
    write(folder / "val.txt", "\n".join(VAL))
    return folder


def build_people(raw, data_dir, **options) -> pathlib.Path:
    """Builds the folder as dataset `people`."""
    hierarchy = write_people(raw.parent / "people.json")
    return build("folder", data_dir, raw, hierarchy=hierarchy, name="people", **options)


def contents(target: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in target.iterdir()}


def delayed(monkeypatch) -> None:
    """Lets the threads finish in any order."""
    encode, rng = records_module.encode, random.Random(0)

    def slow(*arguments):
        time.sleep(rng.random() / 50)
        return encode(*arguments)

    monkeypatch.setattr(records_module, "encode", slow)


def test_the_number_of_threads_changes_no_byte(raw, tmp_path, monkeypatch):
    delayed(monkeypatch)
    built = []
    for threads in (1, 3, 16, None):
        monkeypatch.setattr("os.cpu_count", lambda n=threads: n)
        built.append(contents(build_people(raw, tmp_path / f"{threads}")))
    assert all(files == built[0] for files in built[1:])


def test_many_files_hold_every_record_once(raw, tmp_path, monkeypatch):
    whole = build_people(raw, tmp_path / "whole")
    monkeypatch.setattr(records_module, "_SHARD", 2)
    target = build_people(raw, tmp_path / "parts")
    names = [path.name for path in target.glob("*train*")]
    assert sorted(names) == [f"people-train.array_record-0000{i}-of-00004" for i in range(4)]
    assert len(list(target.glob("*val*"))) == 2
    for split, ids in (("train", TRAIN), ("val", VAL)):
        built = records(tmp_path / "parts", "people", split)
        assert sorted(built) == ids
        for photo_id, (image, labels) in records(tmp_path / "whole", "people", split).items():
            assert built[photo_id][0] == image
            np.testing.assert_array_equal(built[photo_id][1], labels)
    assert (whole / "metadata.json").read_bytes() == (target / "metadata.json").read_bytes()


def test_a_pipeline_writes_the_same_files(raw, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam", reason="needs Apache Beam: pip install apache-beam")
    monkeypatch.setattr(records_module, "_SHARD", 2)
    (raw / "labels" / f"{TRAIN[3]}.png").write_bytes(b"")  # tallies tell of problems, too
    threads = build_people(raw, tmp_path / "threads", skip_bad=True)
    pipeline = build_people(raw, tmp_path / "pipeline", skip_bad=True, beam="--runner=DirectRunner")
    assert contents(pipeline) == contents(threads)


def test_tallies_add_up():
    first, second = Tally(), Tally()
    sample = Sample("a", "a.jpg", "a.mat")
    first.add(sample, LeftOut("cape", "kimono"))
    second.add(sample, LeftOut("cape"))
    second.add(sample, InputError("b.jpg: broken"))
    total = sum([first, second], Tally())
    assert total.unmapped == {"cape": 2, "kimono": 1}
    assert (total.left_out, total.bad) == (["a", "a"], ["a"])
    assert total.problems == ["b.jpg: broken"]
    assert total.pixels.tolist() == [0] * 256


def test_metadata_counts_pixels_photos_and_sizes(raw, tmp_path):
    build_people(raw, tmp_path / "data")
    told = metadata(tmp_path / "data", "people")
    nodes = list(PEOPLE["levels"][0]["nodes"])
    for split, ids in (("train", TRAIN), ("val", VAL)):
        labels = [np.asarray(Image.open(raw / "labels" / f"{name}.png")) for name in ids]
        for leaf, node in enumerate(nodes):
            assert told["pixels"][split][node] == sum(int((x == leaf).sum()) for x in labels)
            assert told["photos_with"][split][node] == sum(bool((x == leaf).any()) for x in labels)
        for axis, side in enumerate(("height", "width")):
            ordered = sorted(x.shape[axis] for x in labels)
            assert told["sizes"][split][side] == [
                ordered[0], ordered[len(ordered) // 2], ordered[-1]
            ]  # fmt: skip
    assert told["photos_with"]["val"]["right-arm"] == 0
    assert (told["left_out"], told["skipped"]) == (0, [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's")
def test_a_full_disk_is_one_line():
    message = r"^/dev/full: cannot be written \(.*No space left on device\); make room, or give"
    with (
        pytest.raises(InputError, match=message) as caught,
        records_module._record_file("/dev/full") as write,
    ):
        write(b"x" * 100_000)
    assert "\n" not in str(caught.value)


def test_the_error_of_a_source_is_not_the_disks(tmp_path):
    with (
        pytest.raises(RuntimeError, match="of the source"),
        records_module._record_file(str(tmp_path / "x")),
    ):
        raise RuntimeError("of the source")
