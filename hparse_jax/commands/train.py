"""Trains a parser from a config file, or resumes a run."""

from absl import flags

from hparse_jax import sharding
from hparse_jax.commands import config_fields
from hparse_jax.errors import UsageError
from hparse_jax.training.train import train

TERMINATED = 143  # exit code of a run that SIGTERM ended after it was saved


def define_flags() -> None:
    config_fields.define_flags()
    flags.adopt_module_key_flags(config_fields)  # --help lists them
    flags.register_validator(
        "config", lambda _: flags.FLAGS["config"].present, "Flag --config must have a value"
    )
    flags.DEFINE_string("workdir", None, "The folder of the run.", required=True)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, when there are several.")
    flags.DEFINE_integer("num_processes", None, "Number of processes, when there are several.")
    flags.DEFINE_integer("process_id", None, "Index of this process, from 0.")
    flags.DEFINE_float(
        "max_minutes",
        None,
        "End after so many minutes, the step saved, with exit code 143 unless the run is finished.",
        lower_bound=0.0,
    )
    flags.DEFINE_bool("distributed", False, "Detect the other processes (TPU pods, SLURM).")


def help_sections() -> dict[str, list[tuple[str, str]]]:
    """Every field of the config."""
    return config_fields.help_sections()


def main(argv: list[str]) -> int:
    """`hparse train --config=NAME_OR_FILE --workdir=DIR [--config.field=value ...]`

    The same command resumes a stopped run from its latest checkpoint. Of a repeated field the last
    value counts.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    sharding.initialize(
        values.coordinator, values.num_processes, values.process_id, values.distributed
    )
    return 0 if train(values.config, values.workdir, values.max_minutes) else TERMINATED
