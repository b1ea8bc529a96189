"""A source -> a TFDS dataset of ArrayRecord files, written in parallel and in constant memory.

TFDS's own writer keeps up to 1 GB of records in memory and needs TensorFlow beyond that, so the
files are written here; their names and the metadata beside them are TFDS's.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import pickle
import sys
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.core import hashing
from tensorflow_datasets.core.dataset_info import DatasetIdentity, DatasetInfo
from tqdm import tqdm

from hparse_jax.data.dataset import VERSION
from hparse_jax.data.raw.encode import Encoded, encode, features
from hparse_jax.data.raw.source import LeftOut, Sample, Source, random_splits
from hparse_jax.errors import InputError
from hparse_jax.storage import read_ahead, write_bytes

_SHARD = 4096  # samples a file
_AHEAD = 4  # samples a thread reads in advance


@dataclasses.dataclass
class Tally:
    """What was seen of some samples: sums that add up.

    problems: of samples that cannot be used, whose ids are in bad. left_out: ids of the photos
    without a place among the classes; unmapped: how many photos hold each such label. pixels: of
    each id; photos_with: how many photos hold it. sizes: (h, w) of the `photos` that are good.
    bytes: of their records.
    """

    photos: int = 0
    bytes: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    bad: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)
    unmapped: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    photos_with: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(256, np.int64))
    sizes: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def add(self, sample: Sample, seen: "Encoded | InputError | LeftOut") -> bool:
        """Counts one sample; whether it is good."""
        if isinstance(seen, InputError):
            self.problems.append(str(seen))
            self.bad.append(sample.id)
        elif isinstance(seen, LeftOut):
            self.left_out.append(sample.id)
            self.unmapped.update(seen.args)
        else:
            self.photos += 1
            self.pixels += seen.pixels
            self.photos_with += seen.pixels > 0
            self.sizes.append(seen.size)
        return isinstance(seen, Encoded)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            *(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(Tally))
        )


def left_out(photos: int, unmapped: dict[str, int]) -> str:
    """How many photos were left out and why, for messages."""
    counts = ", ".join(f"{n} {label}" for label, n in sorted(unmapped.items()))
    why = f" for labels without a class ({counts})" if photos else ""
    return f"{photos} left out{why}"


def check(source: Source) -> Tally:
    """Reads every sample and writes nothing."""
    tally = Tally()
    with _progress(len(source.samples), "checking") as bar:
        for _ in _good(source, source.samples, tally, bar):
            pass
    return tally


def split_samples(source: Source) -> dict[str, list[Sample]]:
    """The samples of each split; splits that the layout does not list are random.

    Every photo is then read once before: photos that are left out take no part in the choice.
    """
    splits: dict[str, list[Sample]] = {split: [] for split in source.splits}
    held_out: dict[str, str] = {}
    if any(sample.split is None for sample in source.samples):
        seen = check(source)
        without = {*seen.left_out, *seen.bad}
        good = [sample for sample in source.samples if sample.id not in without]
        held_out = random_splits(good, source.shares)
        splits = {split: [] for split in source.shares} | splits
    for sample in source.samples:
        split = sample.split or held_out.get(sample.id, next(iter(source.shares)))
        splits.setdefault(split, []).append(sample)
    return splits


def write(
    folder: pathlib.Path,
    name: str,
    source: Source,
    splits: dict[str, list[Sample]],
    beam: str | None = None,
) -> tuple[list[tfds.core.SplitInfo], dict[str, Tally]]:
    """Writes the splits of dataset `name` into a folder.

    beam: options of an Apache Beam pipeline whose workers each write whole files; None: threads of
    this process. Either way the same files. What could not be used is in the tallies.
    """
    shards: dict[str, list[Sample]] = {}  # by the path of their file
    templates, paths = {}, {}
    for split, samples in splits.items():
        # TFDS's order: shuffled, the same on every machine
        hasher = hashing.Hasher(split)
        samples = sorted(samples, key=lambda s: hasher.hash_key(s.id))
        count = -(-len(samples) // _SHARD)
        templates[split] = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix="array_record"
        )
        paths[split] = [os.fspath(path) for path in templates[split].sharded_filepaths(count)]
        shards |= {path: samples[i::count] for i, path in enumerate(paths[split])}
    if beam is None:
        with _progress(sum(map(len, shards.values())), "writing") as bar:
            tallies = {path: write_shard(source, path, shards[path], bar) for path in shards}
    else:
        tallies = _write_with_beam(source, shards, beam)
    infos, totals = [], {}
    for split in splits:
        own = [tallies[path] for path in paths[split]]
        totals[split] = sum(own, Tally())
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[t.photos for t in own],
                num_bytes=totals[split].bytes,
                filename_template=templates[split],
            )
        )
    return infos, totals


def write_info(
    folder: pathlib.Path, name: str, infos: list[tfds.core.SplitInfo], metadata: dict
) -> None:
    """Writes what makes a folder of such files a TFDS dataset."""
    info = DatasetInfo(
        builder=DatasetIdentity(name, tfds.core.Version(VERSION), str(folder), __name__),
        description="Photographs of people, every pixel with a body-part or clothing label.",
        features=features(),
        metadata=tfds.core.MetadataDict(metadata),
        split_dict=tfds.core.SplitDict(infos),
    )
    info.set_file_format("array_record")
    info.write_to_directory(folder)


def write_shard(source: Source, path: str, samples: list[Sample], bar: tqdm) -> Tally:
    """Writes one file of records. Raises InputError when it cannot be written."""
    layout, tally = features(), Tally()
    with _record_file(path) as write:
        for good in _good(source, samples, tally, bar):
            # TFDS would encode arrays with TensorFlow; files it takes as they are
            image, label = io.BytesIO(good.image), io.BytesIO(good.label)
            example = layout.encode_example({"id": good.id, "image": image, "label": label})
            data = layout.serialize_example(example)
            tally.bytes += len(data)
            write(data)
    return tally


@contextlib.contextmanager
def _record_file(path: str) -> Iterator[Callable[[bytes], None]]:
    """A function that appends a record to a new file."""
    writer = ArrayRecordWriter(path, "group_size:1")

    def checked(function, *arguments):
        try:
            function(*arguments)
        except RuntimeError as error:  # what ArrayRecord makes of the system's errors
            reason = str(error).partition(";")[0]
            raise InputError(
                f"{path}: cannot be written ({reason}); make room, or give another data_dir"
            ) from error

    try:
        yield functools.partial(checked, writer.write)
    except BaseException:
        with contextlib.suppress(RuntimeError):
            writer.close()
        raise
    checked(writer.close)


def _write_one(source: Source, shard: tuple[str, list[Sample]]) -> None:
    path, samples = shard
    tally = write_shard(source, path, samples, tqdm(disable=True))
    write_bytes(f"{path}.tally", pickle.dumps(tally))


def _write_with_beam(
    source: Source, shards: dict[str, list[Sample]], options: str
) -> dict[str, Tally]:
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("beam needs Apache Beam: pip install 'hparse_jax[beam]'") from error

    try:
        pipeline = apache_beam.Pipeline(options=PipelineOptions(options.split()))
    except (ValueError, TypeError) as error:
        raise InputError(f"beam={options}: {error}") from error
    with pipeline:
        _ = (
            pipeline
            | apache_beam.Create(list(shards.items()))
            | apache_beam.Reshuffle()
            | apache_beam.Map(functools.partial(_write_one, source))
        )
    tallies = {}
    for path in shards:
        report = pathlib.Path(f"{path}.tally")
        tallies[path] = pickle.loads(report.read_bytes())
        report.unlink()
    return tallies


def _good(source: Source, samples: list[Sample], tally: Tally, bar: tqdm) -> Iterator[Encoded]:
    """The good samples in order, encoded a few in advance; all of them are counted."""

    def seen(sample):
        try:
            return sample, encode(source, sample)
        except (InputError, LeftOut) as error:
            return sample, error

    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for sample, made in read_ahead(pool, seen, samples, threads * _AHEAD):
            if tally.add(sample, made):
                yield made
            bar.update()


def _progress(total: int, what: str) -> tqdm:
    return tqdm(total=total, desc=what, unit=" photos", disable=not sys.stderr.isatty())
