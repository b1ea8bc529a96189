"""A dataset's raw distribution -> ArrayRecord files that training reads."""

import os
import pathlib
import re
import shutil

import numpy as np

from hparse_jax.data.dataset import VERSION, BuiltDataset, dataset_folder
from hparse_jax.data.raw import (
    atr,
    cihp,
    fashion_clothing,
    folder,
    lip,
    pascal_person_part,
    synthetic,
)
from hparse_jax.data.raw.records import Tally, check, left_out, split_samples, write, write_info
from hparse_jax.data.raw.source import Layout, Source
from hparse_jax.data.report import draw_report, require_matplotlib
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import IGNORE, get_hierarchy
from hparse_jax.integrity import seal
from hparse_jax.lock import sole_writer

DATASETS: dict[str, Layout] = {
    "synthetic": synthetic.LAYOUT,
    "lip": lip.LAYOUT,
    "pascal_person_part": pascal_person_part.LAYOUT,
    "atr": atr.LAYOUT,
    "fashion_clothing": fashion_clothing.LAYOUT,
    "cihp": cihp.LAYOUT,
    "folder": folder.LAYOUT,
}
_DEFAULT_NAME = "folder"  # of a dataset of one's own
IGNORED = "255 (does not count)"  # the last entry of the class counts in metadata.json


class RawProblems(InputError):
    """Several problems in raw files. problems: one line each."""

    def __init__(self, problems: list[str]):
        self.problems = problems
        super().__init__(
            f"{len(problems)} problems in the raw files; check lists them all, skip_bad builds "
            "without them"
        )


def build(
    dataset: str,
    data_dir: str | os.PathLike,
    manual_dir: str | os.PathLike | None = None,
    *,
    hierarchy: str | None = None,
    name: str = _DEFAULT_NAME,
    chictopia: bool = False,
    skip_bad: bool = False,
    beam: str | None = None,
    report: bool = False,
) -> pathlib.Path:
    """Builds a dataset unless it is already there; returns its folder, DATA_DIR/NAME/1.0.0.

    dataset: of DATASETS. manual_dir: the raw folder or its parent; not needed for `synthetic` and
    for what is already built. hierarchy, name: of dataset `folder`. chictopia: of dataset `atr`,
    its photos of Chictopia, too. skip_bad: leave out what has a problem instead of stopping. beam:
    options of an Apache Beam pipeline. report: write REPORT of data/report.py beside the files.

    A build that fails or is interrupted leaves nothing that reads as a dataset. Raises InputError
    for wrong arguments and for raw files that are missing or wrong (RawProblems: several).
    """
    _check_arguments(dataset, name, hierarchy, chictopia)
    name = name if DATASETS[dataset].own else dataset
    target = dataset_folder(name, data_dir)
    if report:
        require_matplotlib()
    if target.exists():
        before = BuiltDataset(name, data_dir)
        _check_same(before, manual_dir if DATASETS[dataset].own else None, hierarchy)
        if chictopia and before.metadata.get("chictopia_left_out"):
            raise InputError(
                f"{target}: was built without chictopia; remove the folder to build it again"
            )
    else:
        source = _find(dataset, manual_dir, hierarchy, chictopia)
        _stop_for(source.problems, skip_bad)
        if manual_dir is not None:
            source.notes["raw"] = str(pathlib.Path(manual_dir).absolute())
        with sole_writer(target.parent):
            if not target.exists():  # as it may by now
                write_dataset(target, source, skip_bad, beam)
    if report:
        draw_report(BuiltDataset(name, data_dir))
    return target


def check_raw(
    dataset: str,
    manual_dir: str | os.PathLike | None,
    hierarchy: str | None = None,
    chictopia: bool = False,
) -> Tally:
    """Reads all raw files and writes nothing; `problems` of the tally holds every problem.

    Raises InputError for wrong arguments and when the raw folder does not hold the dataset.
    """
    _check_arguments(dataset, _DEFAULT_NAME, hierarchy, chictopia)
    source = _find(dataset, manual_dir, hierarchy, chictopia)
    tally = check(source)
    tally.problems = [*source.problems, *tally.problems]
    at_random = any(sample.split is None for sample in source.samples)
    if at_random and 0 < tally.photos < len(source.shares):
        tally.problems.append(
            f"{manual_dir}: {tally.photos} good photos for {len(source.shares)} splits; every one "
            "needs a photo at least"
        )
    return tally


def _check_arguments(dataset: str, name: str, hierarchy: str | None, chictopia: bool) -> None:
    if dataset not in DATASETS:
        raise InputError(
            f"no dataset {dataset!r}; known are {', '.join(DATASETS)} (folder: your own)"
        )
    if chictopia and not DATASETS[dataset].chictopia:
        raise InputError(f"chictopia is for dataset `atr`; leave it out for {dataset}")
    if not DATASETS[dataset].own:
        if hierarchy is not None or name != _DEFAULT_NAME:
            raise InputError(f"name and hierarchy are for dataset `folder`; {dataset} has its own")
        return
    if hierarchy is None:
        raise InputError(
            "hierarchy is missing: give the file that names the classes of your labels"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"name={name}: use lower-case letters, digits and _, a letter first")
    if name in DATASETS and not DATASETS[name].own:
        raise InputError(f"name={name}: is the name of another dataset; choose your own")


def _check_same(
    built: BuiltDataset, manual_dir: str | os.PathLike | None, hierarchy: str | None
) -> None:
    """Raises InputError when the dataset was not built from these."""
    if not {"hierarchy", "sizes"} <= set(built.metadata):
        raise InputError(f"{built.folder}: not a whole dataset; remove the folder and build again")
    remedy = "remove the folder to build it again, or choose another name"
    before = built.metadata.get("raw")
    given = None if manual_dir is None else str(pathlib.Path(manual_dir).absolute())
    if given not in (None, before):
        raise InputError(
            f"{built.folder}: was built from {before}, not from {manual_dir}; {remedy}"
        )
    if hierarchy and built.metadata["hierarchy"] != get_hierarchy(hierarchy).to_json():
        raise InputError(
            f"{built.folder}: was built with another hierarchy than {hierarchy}; {remedy}"
        )


def _find(
    dataset: str, manual_dir: str | os.PathLike | None, hierarchy: str | None, chictopia: bool
) -> Source:
    layout, raw = DATASETS[dataset], None
    if layout.wanted:
        if manual_dir is None:
            raise InputError(f"manual_dir is missing: {dataset} is built from {layout.wanted}")
        raw = pathlib.Path(manual_dir).absolute()
        if not raw.is_dir() or not any(raw.iterdir()):
            state = "is not a folder" if raw.exists() else "no such folder"
            state = "is empty" if raw.is_dir() else state
            raise InputError(f"manual_dir={manual_dir}: {state}; give {layout.wanted}")
    options = {"hierarchy": hierarchy, "chictopia": chictopia}
    return layout.find(raw, **{name: value for name, value in options.items() if value})


def _stop_for(problems: list[str], skip_bad: bool) -> None:
    """Raises InputError when there are problems that may not be skipped."""
    if problems and not skip_bad:
        raise RawProblems(problems) if len(problems) > 1 else InputError(problems[0])


def write_dataset(
    target: pathlib.Path, source: Source, skip_bad: bool = False, beam: str | None = None
) -> None:
    """Writes a source as a dataset into the folder DATA_DIR/NAME/1.0.0, which is then complete or
    absent. Raises InputError as `build` does."""
    name, splits = target.parent.name, split_samples(source)
    if not splits:
        raise InputError(f"{name}: no photo is left to build; check lists why")
    unfinished = target.with_name(f"incomplete.{VERSION}")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a build that was killed
    unfinished.mkdir(parents=True)
    try:
        infos, tallies = write(unfinished, name, source, splits, beam)
        _stop_for([problem for tally in tallies.values() for problem in tally.problems], skip_bad)
        for split, tally in tallies.items():
            if not tally.photos:
                raise InputError(
                    f"split {split} has no photos ({left_out(len(tally.left_out), tally.unmapped)}"
                    f", {len(tally.bad)} bad); every split needs one at least"
                )
        write_info(unfinished, name, infos, _metadata(source, tallies))
        # ArrayRecord files hold checksums of their own, which every reading verifies
        seal(unfinished, [path.name for path in unfinished.glob("*.json")])
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _metadata(source: Source, tallies: dict[str, Tally]) -> dict:
    """What the dataset knows of itself; see docs/datasets.md."""
    total = sum(tallies.values(), Tally())
    leaves = source.hierarchy.levels[0].nodes

    def spread(sizes):
        sides = {"height": [h for h, _ in sizes], "width": [w for _, w in sizes]}
        return {side: [int(f(x)) for f in (min, np.median, max)] for side, x in sides.items()}

    def by_leaf(counts):
        by_name = dict(zip(leaves, counts[: len(leaves)].tolist(), strict=True))
        return by_name | {IGNORED: int(counts[IGNORE])}

    return {
        "hierarchy": source.hierarchy.to_json(),
        **source.notes,
        "sizes": {split: spread(t.sizes) for split, t in tallies.items()},
        "pixels": {split: by_leaf(t.pixels) for split, t in tallies.items()},
        "photos_with": {split: by_leaf(t.photos_with) for split, t in tallies.items()},
        "left_out": len(total.left_out),
        "left_out_labels": dict(total.unmapped),
        "skipped": [*source.problems, *total.problems],
    }
