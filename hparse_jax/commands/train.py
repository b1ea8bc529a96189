"""The verb `train`: a config file -> a trained parser in a workdir."""

from absl import flags
from ml_collections import config_flags

from hparse_jax import sharding
from hparse_jax.errors import UsageError
from hparse_jax.training.train import train


def define_flags() -> None:
    """The flags of `hparse train`."""
    config_flags.DEFINE_config_file("config", None, "A file of configs/, or one's own.")
    flags.mark_flag_as_required("config")
    flags.DEFINE_string("workdir", None, "Where the run is written and resumed.", required=True)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0 of a job of several.")
    flags.DEFINE_integer("num_processes", None, "How many processes the job has.")
    flags.DEFINE_integer("process_id", None, "Which of them this one is, from 0.")
    flags.DEFINE_bool("distributed", False, "Find the other processes by itself (TPU pod, SLURM).")


def main(argv: list[str]) -> int | None:
    """`hparse train --config=FILE --workdir=DIR [--config.field=value ...]`."""
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    sharding.initialize(
        values.coordinator, values.num_processes, values.process_id, values.distributed
    )
    return train(values.config, values.workdir)
