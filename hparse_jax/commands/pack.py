"""Makes one file of a trained parser, which every verb takes instead of a workdir."""

from absl import flags

from hparse_jax.checkpoint import load_run, pack_run
from hparse_jax.commands.inference_flags import StepParser
from hparse_jax.errors import UsageError


def define_flags() -> None:
    flags.DEFINE_string("workdir", None, "The folder of the training run.", required=True)
    flags.DEFINE_string("output", None, "The new file, NAME.safetensors.", required=True)
    flags.DEFINE(
        StepParser(), "step", None, "Step of the checkpoint, or `best`; default: the last one."
    )
    flags.DEFINE_string(
        "note", None, "What it is, in one line. Default: network, dataset and steps."
    )


def main(argv: list[str]) -> None:
    """`hparse pack --workdir=RUN --output=FILE.safetensors`

    Weights in half precision (averaged ones when the run has them), config, classes and a
    checksum. The file serves as --workdir and as config.init_from.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    run = load_run(values.workdir, values.step)
    config = run.config
    default = f"{config.model.name} trained on {config.dataset} ({config.train_split}), "
    note = " ".join((values.note or run.note or f"{default}{run.step} steps").split())
    size = pack_run(run, values.output, note)
    print(f"{values.output}: {note}; {size / 1e6:.1f} MB")
