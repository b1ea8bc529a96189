"""The verb `build`: a dataset's raw distribution -> ArrayRecord files that training reads."""

from absl import flags

from hparse_jax.data.build import DATASETS, build, check_raw
from hparse_jax.data.report import REPORT
from hparse_jax.errors import UsageError


def define_flags() -> None:
    """The flags of `hparse build DATASET`."""
    flags.DEFINE_string("manual_dir", None, "The dataset's raw folder, or its parent.")
    flags.DEFINE_string("data_dir", "data", "Where the built datasets lie.")
    flags.DEFINE_bool("check", False, "Only read the raw files and list every problem.")
    flags.DEFINE_bool("skip-bad", False, "Leave out what has a problem, and list it in metadata.")
    flags.DEFINE_bool("report", False, f"Draw {REPORT} beside the files: samples and classes.")
    flags.DEFINE_string("hierarchy", None, "For `folder`: the file of its classes (.json, .py).")
    flags.DEFINE_string("name", "folder", "For `folder`: the dataset's name, for config.dataset.")
    flags.DEFINE_string("beam", None, "Options of an Apache Beam pipeline that writes the files.")
    flags.DEFINE_alias("skip_bad", "skip-bad")


def main(argv: list[str]) -> int:
    """`hparse build DATASET --manual_dir=RAW --data_dir=OUT`; 1 when --check finds a problem."""
    if len(argv) != 1:
        raise UsageError(f"which dataset? known are {', '.join(DATASETS)}")
    values = flags.FLAGS
    if values.check:
        return check_raw(argv[0], values.manual_dir, values.hierarchy)
    build(
        argv[0],
        values.data_dir,
        values.manual_dir,
        hierarchy=values.hierarchy,
        name=values.name,
        skip_bad=values["skip-bad"].value,
        beam=values.beam,
        report=values.report,
    )
    return 0
