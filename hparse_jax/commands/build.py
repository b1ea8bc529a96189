"""The verb `build`: a dataset's raw distribution -> ArrayRecord files that training reads."""

import os
import pathlib
import sys

from absl import flags

from hparse_jax.data.build import DATASETS, IGNORED, RawProblems, build, check_raw
from hparse_jax.data.dataset import VERSION, BuiltDataset
from hparse_jax.data.raw.records import left_out
from hparse_jax.data.report import REPORT
from hparse_jax.errors import UsageError

_SHOWN = 20  # problems that stop a build; --check lists all


def define_flags() -> None:
    """The flags of `hparse build DATASET`."""
    flags.DEFINE_string("manual_dir", None, "The dataset's raw folder, or its parent.")
    flags.DEFINE_string("data_dir", "data", "Folder of the built datasets.")
    flags.DEFINE_bool("check", False, "Only read the raw files and list every problem.")
    flags.DEFINE_bool("skip_bad", False, "Leave out what has a problem, and list it in metadata.")
    flags.DEFINE_bool(
        "report", False, f"Write {REPORT} beside the files: classes and samples (needs matplotlib)."
    )
    flags.DEFINE_string("hierarchy", None, "For `folder`: the file of its classes (.json, .py).")
    flags.DEFINE_string("name", "folder", "For `folder`: the dataset's name, for config.dataset.")
    flags.DEFINE_bool("chictopia", False, "For `atr`: its photos of Chictopia, dataset10k_*, too.")
    flags.DEFINE_string("beam", None, "Options of an Apache Beam pipeline that writes the files.")


def help_sections() -> dict[str, list[tuple[str, str]]]:
    """The datasets, and what each is built from."""
    rows = [(name, layout.wanted or "nothing to download") for name, layout in DATASETS.items()]
    return {"datasets, and what --manual_dir holds:": rows}


def main(argv: list[str]) -> int:
    """`hparse build DATASET --manual_dir=RAW --data_dir=OUT`; 1 when --check finds a problem."""
    if len(argv) != 1:
        raise UsageError(f"which dataset? known are {', '.join(DATASETS)}")
    values = flags.FLAGS
    if values.check:
        chosen = {"hierarchy": values.hierarchy, "chictopia": values.chictopia}
        return check_and_print(argv[0], values.manual_dir, **chosen)
    options = ("hierarchy", "name", "chictopia", "skip_bad", "beam", "report")
    chosen = {option: values[option].value for option in options}
    build_and_print(argv[0], values.data_dir, values.manual_dir, **chosen)
    return 0


def check_and_print(dataset: str, manual_dir: str | os.PathLike | None, **options) -> int:
    """Prints every problem that `check_raw` finds on a line, then what is good; 1 for problems."""
    tally = check_raw(dataset, manual_dir, **options)
    counts = [f"{tally.photos} photos are good"]
    counts += [left_out(len(tally.left_out), tally.unmapped)] if tally.left_out else []
    counts += [f"{len(tally.problems)} problems"]
    print(*tally.problems, ", ".join(counts), sep="\n")
    return 1 if tally.problems else 0


def build_and_print(
    dataset: str,
    data_dir: str | os.PathLike,
    manual_dir: str | os.PathLike | None = None,
    **options,
) -> pathlib.Path:
    """`build` with these arguments; prints what was built, or on stderr what stopped it."""
    before = set(pathlib.Path(data_dir).absolute().glob(f"*/{VERSION}"))
    try:
        folder = build(dataset, data_dir, manual_dir, **options)
    except RawProblems as error:
        print(*error.problems[:_SHOWN], sep="\n", file=sys.stderr)
        raise
    built = BuiltDataset(folder.parent.name, data_dir)
    if folder in before:
        print(f"{built.name} is already built in {folder}: {_contents(built)}")
        print("remove that folder to build it again from changed raw files")
    else:
        print(f"{built.name} is built in {folder}: {_contents(built)}")
        print(_table(built.metadata))
    if options.get("report"):
        print(f"report: {folder / REPORT}")
    return folder


def _contents(built: BuiltDataset) -> str:
    metadata = built.metadata
    counts = [f"{photos} {split}" for split, photos in built.splits.items()]
    notes = [", ".join(counts) + " photos"]
    if metadata.get("left_out"):
        notes.append(left_out(metadata["left_out"], metadata["left_out_labels"]))
    if metadata.get("tags_only"):
        notes.append(f"{metadata['tags_only']} left out for want of pixel labels")
    if photos := metadata.get("chictopia_left_out"):
        notes.append(f"{photos} of Chictopia left out (--chictopia adds them)")
    if metadata.get("skipped"):
        notes.append(f"{len(metadata['skipped'])} problems skipped (listed in metadata.json)")
    return "; ".join(notes)


def _table(metadata: dict) -> str:
    """Sizes of the photos and shares of the classes, split by split."""
    splits = list(metadata["sizes"])
    lines = [f"{'':24}" + "".join(f"{split:>14}" for split in splits)]
    for side in ("height", "width"):
        spans = [" ".join(map(str, metadata["sizes"][split][side])) for split in splits]
        lines.append(f"{f'{side} min median max':24}" + "".join(f"{span:>14}" for span in spans))
    for leaf in [*metadata["hierarchy"]["levels"][0]["nodes"], IGNORED]:
        pixels = [metadata["pixels"][split] for split in splits]
        shares = [counts[leaf] / max(1, sum(counts.values())) for counts in pixels]
        lines.append(f"{leaf:24}" + "".join(f"{share:14.2%}" for share in shares))
    return "\n".join(lines)
