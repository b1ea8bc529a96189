"""The verb `build`: a dataset's raw distribution -> ArrayRecord files that training reads."""

import contextlib
import importlib
import io
import pathlib
import shutil
import sys
import tempfile

import tensorflow_datasets as tfds
from absl import flags

from hparse_jax.errors import InputError

# name -> (module, TFDS builder class)
DATASETS = {
    "synthetic": ("hparse_jax.data.builders.synthetic", "Synthetic"),
    "fashion_clothing": ("hparse_jax.data.builders.fashion_clothing", "FashionClothing"),
}


def define_flags() -> None:
    """The flags of `hparse build DATASET`."""
    flags.DEFINE_string("manual_dir", None, "The dataset's raw folder, or its parent.")
    flags.DEFINE_string("data_dir", "data", "Where the built datasets lie.")


def main(argv: list[str]) -> int:
    """`hparse build DATASET --manual_dir=RAW --data_dir=OUT`."""
    if len(argv) != 1:
        print(f"usage: hparse build DATASET; known are {', '.join(DATASETS)}", file=sys.stderr)
        return 2
    build(argv[0], flags.FLAGS.data_dir, flags.FLAGS.manual_dir)
    return 0


def build(
    dataset: str, data_dir: str | pathlib.Path, manual_dir: str | pathlib.Path | None = None
) -> pathlib.Path:
    """Builds a dataset once; returns the folder of its files and prints what is in it.

    manual_dir: the raw folder or its parent; not needed for rendered datasets and built ones.
    A build that fails or is interrupted leaves nothing that reads as a dataset. Raises InputError
    for an unknown dataset and for raw files that are missing or wrong.
    """
    if dataset not in DATASETS:
        raise InputError(f"no dataset {dataset!r}; known are {', '.join(DATASETS)}")
    module, name = DATASETS[dataset]
    builder = getattr(importlib.import_module(module), name)(
        data_dir=pathlib.Path(data_dir).absolute(), file_format="array_record"
    )
    target = pathlib.Path(builder.data_path)
    if target.exists() and not (target / "dataset_info.json").is_file():
        raise InputError(f"{target}: not a whole dataset; remove the folder and build again")
    if target.exists():
        print(f"{dataset} is already built in {target}: {_contents(builder)}")
        return target
    manual_dir = _check_manual_dir(builder, manual_dir)
    # A killed build leaves its unfinished folder, which nothing ever reads.
    for unfinished in target.parent.glob(f"incomplete.*_{target.name}"):
        shutil.rmtree(unfinished)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    # TFDS wants a download folder and tells of one that is not needed here.
    with tempfile.TemporaryDirectory() as downloads, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir),
        )
    print(f"{dataset} is built in {target}: {_contents(builder)}")
    return target


def _check_manual_dir(builder, manual_dir):
    wanted = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if not wanted:
        return None
    if manual_dir is None:
        raise InputError(f"--manual_dir is missing: {builder.name} is built from {wanted}")
    manual_dir = pathlib.Path(manual_dir).absolute()
    if not manual_dir.is_dir() or not any(manual_dir.iterdir()):
        state = "empty" if manual_dir.is_dir() else "no such folder"
        raise InputError(f"--manual_dir={manual_dir}: {state}; give {wanted}")
    return manual_dir


def _contents(builder) -> str:
    info = builder.info
    counts = [f"{split.num_examples} {name}" for name, split in info.splits.items()]
    metadata = info.metadata or {}
    notes = []
    if metadata.get("left_out"):
        labels = ", ".join(
            f"{n} {label}" for label, n in sorted(metadata["left_out_labels"].items())
        )
        notes.append(f"{metadata['left_out']} left out for labels without a class ({labels})")
    if metadata.get("tags_only"):
        notes.append(f"{metadata['tags_only']} left out for want of pixel labels")
    return "; ".join([", ".join(counts) + " photos", *notes])
