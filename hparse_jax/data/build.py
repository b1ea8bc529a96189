"""The verb `build`: a dataset's raw distribution -> ArrayRecord files that training reads."""

import contextlib
import importlib
import io
import os
import pathlib
import re
import shutil
import sys
import tempfile

import numpy as np

from hparse_jax.data.raw.records import Dataset, Tally, check, split_samples, write
from hparse_jax.data.raw.source import Source
from hparse_jax.data.report import draw_report
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, get_hierarchy

# each is hparse_jax.data.raw.NAME, with find(manual_dir) -> Source and the words WANTED
DATASETS = (
    "synthetic",
    "lip",
    "pascal_person_part",
    "atr",
    "fashion_clothing",
    "cihp",
    "folder",
)
_IGNORED = "255 (does not count)"
_SHOWN = 20  # problems that stop a build; --check lists all


def build(
    dataset: str,
    data_dir: str | os.PathLike,
    manual_dir: str | os.PathLike | None = None,
    *,
    hierarchy: str | None = None,
    name: str = "folder",
    skip_bad: bool = False,
    beam: str | None = None,
    report: bool = False,
) -> pathlib.Path:
    """Builds a dataset once; returns the folder of its files and prints what is in it.

    manual_dir: the raw folder or its parent; not needed for drawn datasets and built ones.
    hierarchy, name: of dataset "folder". skip_bad: leave out what has a problem, do not stop.
    beam: options of an Apache Beam pipeline. report: draw the picture of the dataset, too.
    A build that fails or is interrupted leaves nothing that reads as a dataset. Raises InputError
    for an unknown dataset, and for raw files that are missing or wrong.
    """
    _check_name(dataset, name, hierarchy)
    name = name if dataset == "folder" else dataset
    builder = _builder(name, data_dir)
    target = pathlib.Path(builder.data_path)
    if target.exists():
        before = builder.info.metadata.get("raw")
        given = None if manual_dir is None else str(pathlib.Path(manual_dir).absolute())
        if dataset == "folder" and given not in (None, before):
            raise InputError(
                f"{target}: was built from {before}, not from {manual_dir}; choose another --name, "
                "or remove the folder to build it again"
            )
        if hierarchy and builder.info.metadata["hierarchy"] != get_hierarchy(hierarchy).to_json():
            raise InputError(
                f"{target}: was built with another hierarchy than {hierarchy}; remove the folder "
                "to build it again, or choose another --name"
            )
        print(f"{name} is already built in {target}: {_contents(builder)}")
        print("remove that folder to build it again from changed raw files")
    else:
        source = _find(dataset, manual_dir, hierarchy)
        _stop_for(source.problems, skip_bad)
        if manual_dir is not None:
            source.notes["raw"] = str(pathlib.Path(manual_dir).absolute())
        _write(builder, source, skip_bad, beam)
        print(f"{name} is built in {target}: {_contents(builder)}")
        print(_table(builder))
    if report:
        print(f"drawn: {draw_report(builder)}")
    return target


def _builder(name: str, data_dir: str | os.PathLike) -> Dataset:
    """The builder; raises InputError when its folder holds something else than a whole dataset."""
    target = pathlib.Path(data_dir).absolute() / name / str(Dataset.VERSION)
    broken = InputError(f"{target}: not a whole dataset; remove the folder and build again")
    if target.exists() and not (target / "dataset_info.json").is_file():
        raise broken
    try:
        builder = Dataset(name, pathlib.Path(data_dir).absolute())
        if target.exists() and not {"hierarchy", "sizes"} <= set(builder.info.metadata or {}):
            raise broken
    except (ValueError, AssertionError, OSError) as error:
        raise broken from error
    return builder


def check_raw(
    dataset: str, manual_dir: str | os.PathLike | None, hierarchy: str | None = None
) -> int:
    """Reads all raw files, prints every problem, one a line, and what is good; 1 for problems."""
    _check_name(dataset, "folder", hierarchy)
    source = _find(dataset, manual_dir, hierarchy)
    tally = check(source)
    problems = [*source.problems, *tally.problems]
    drawn = any(sample.split is None for sample in source.samples)
    if drawn and 0 < tally.photos < len(source.shares):
        problems.append(
            f"{manual_dir}: {tally.photos} good photos for {len(source.shares)} splits; every one "
            "needs a photo at least"
        )
    print("".join(f"{problem}\n" for problem in problems), end="")
    left_out = (
        f", {len(tally.left_out)} left out{_labels(tally.unmapped)}" if tally.left_out else ""
    )
    print(f"{tally.photos} photos are good{left_out}, {len(problems)} problems")
    return 1 if problems else 0


def _check_name(dataset: str, name: str, hierarchy: str | None) -> None:
    if dataset not in DATASETS:
        raise InputError(
            f"no dataset {dataset!r}; known are {', '.join(DATASETS)} (folder: your own)"
        )
    if dataset == "folder" and hierarchy is None:
        raise InputError("--hierarchy is missing: the file that names the classes of your labels")
    if dataset != "folder" and (hierarchy is not None or name != "folder"):
        raise InputError(f"--hierarchy and --name are for `folder`; {dataset} has its own")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"--name={name}: small letters, digits and _, the first a letter")
    if dataset == "folder" and name in (*DATASETS[:-1],):
        raise InputError(f"--name={name}: is the name of another dataset; choose your own")


def _find(dataset: str, manual_dir: str | os.PathLike | None, hierarchy: str | None) -> Source:
    module = importlib.import_module(f"hparse_jax.data.raw.{dataset}")
    folder = None
    if module.WANTED:
        if manual_dir is None:
            raise InputError(f"--manual_dir is missing: {dataset} is built from {module.WANTED}")
        folder = pathlib.Path(manual_dir).absolute()
        if not folder.is_dir() or not any(folder.iterdir()):
            state = "empty" if folder.is_dir() else "no such folder"
            raise InputError(f"--manual_dir={manual_dir}: {state}; give {module.WANTED}")
    if dataset == "folder":
        return module.find(folder, get_hierarchy(hierarchy))
    return module.find(folder)


def _stop_for(problems: list[str], skip_bad: bool) -> None:
    """Raises InputError when there are problems that may not be skipped."""
    if not problems or skip_bad:
        return
    if len(problems) == 1:
        raise InputError(problems[0])
    for problem in problems[:_SHOWN]:
        print(problem, file=sys.stderr)
    raise InputError(
        f"{len(problems)} problems in the raw files, see above; --check lists them all, "
        "--skip-bad builds without these photos"
    )


def _write(builder: Dataset, source: Source, skip_bad: bool, beam: str | None) -> None:
    target = pathlib.Path(builder.data_path)
    # A killed build leaves its unfinished folder, which nothing ever reads.
    for unfinished in target.parent.glob(f"incomplete.*_{target.name}"):
        shutil.rmtree(unfinished)
    splits = split_samples(source)
    if not splits:
        raise InputError(f"{target.name}: no photo is left to build; --check lists why")

    def write_splits(builder):
        infos, tallies = write(builder, source, splits, beam)
        total = sum(tallies.values(), Tally())
        _stop_for(total.problems, skip_bad)
        for split, tally in tallies.items():
            if not tally.photos:
                left_out = f"{len(tally.left_out)} left out"
                left_out += _labels(tally.unmapped) if tally.left_out else ""
                raise InputError(
                    f"split {split} has no photos ({left_out}, {len(tally.bad)} bad); every split "
                    "needs one at least"
                )
        builder.info.metadata.update(_metadata(source, tallies))
        return infos

    builder.write = write_splits
    # TFDS wants a download folder and tells of one that is not needed here.
    with tempfile.TemporaryDirectory() as downloads, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=downloads)


def _metadata(source: Source, tallies: dict[str, Tally]) -> dict:
    """What the dataset knows of itself; see docs/datasets.md."""
    total = sum(tallies.values(), Tally())
    leaves = source.hierarchy.levels[0].nodes

    def spread(sides):
        return [int(f(sides)) for f in (min, np.median, max)]

    def by_leaf(counts):
        by_name = dict(zip(leaves, counts[: len(leaves)].tolist(), strict=True))
        return by_name | {_IGNORED: int(counts[IGNORE])}

    return {
        "hierarchy": source.hierarchy.to_json(),
        **source.notes,
        "sizes": {
            split: {"height": spread(t.heights), "width": spread(t.widths)}
            for split, t in tallies.items()
        },
        "pixels": {split: by_leaf(t.pixels) for split, t in tallies.items()},
        "photos_with": {split: by_leaf(t.photos_with) for split, t in tallies.items()},
        "left_out": len(total.left_out),
        "left_out_labels": dict(total.unmapped),
        "skipped": [*source.problems, *total.problems],
    }


def _labels(unmapped: dict[str, int]) -> str:
    counts = ", ".join(f"{n} {label}" for label, n in sorted(unmapped.items()))
    return f" for labels without a class ({counts})"


def _contents(builder: Dataset) -> str:
    metadata = builder.info.metadata
    counts = [f"{split.num_examples} {name}" for name, split in builder.info.splits.items()]
    notes = [", ".join(counts) + " photos"]
    if metadata.get("left_out"):
        notes.append(f"{metadata['left_out']} left out{_labels(metadata['left_out_labels'])}")
    if metadata.get("tags_only"):
        notes.append(f"{metadata['tags_only']} left out for want of pixel labels")
    if metadata.get("skipped"):
        notes.append(f"{len(metadata['skipped'])} problems skipped (listed in metadata.json)")
    return "; ".join(notes)


def _table(builder: Dataset) -> str:
    """Sizes of the photos and shares of the classes, split by split."""
    metadata = builder.info.metadata
    splits = list(metadata["sizes"])
    lines = [f"{'':24}" + "".join(f"{split:>14}" for split in splits)]
    for side in ("height", "width"):
        spans = [metadata["sizes"][split][side] for split in splits]
        cells = "".join(f"{'{} {} {}'.format(*span):>14}" for span in spans)
        lines.append(f"{f'{side} min median max':24}" + cells)
    for leaf in [*metadata["hierarchy"]["levels"][0]["nodes"], _IGNORED]:
        cells = ""
        for split in splits:
            pixels = metadata["pixels"][split]
            cells += f"{pixels[leaf] / max(1, sum(pixels.values())):14.2%}"
        lines.append(f"{leaf:24}{cells}")
    return "\n".join(lines)
