"""The verb `train`: a config file -> a trained parser in a workdir."""

import ast
import difflib
import pathlib
import runpy
import sys

from absl import flags
from ml_collections import config_flags

from hparse_jax import sharding
from hparse_jax.config import Config, bounds, settings, shown
from hparse_jax.errors import InputError, UsageError
from hparse_jax.training.train import train


def define_flags() -> None:
    """The flags of `hparse train`. Raises InputError when `sys.argv` sets an unknown field."""
    _check_fields(sys.argv[1:])  # which config_flags reads too; it would raise a KeyError
    for kind, read in _READERS.items():
        config_flags.register_flag_parser_for_type(kind, _FieldParser(read))
    config_flags.DEFINE_config_dataclass(
        "config",
        Config(),
        "A Python file with get_config(), as in configs/; FILE:VARIANT calls get_config(VARIANT).",
        parse_fn=read_config,
    )
    flags.register_validator(
        "config", lambda _: flags.FLAGS["config"].present, "Flag --config must have a value"
    )
    flags.DEFINE_string("workdir", None, "The folder of the run.", required=True)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0 of a job of several.")
    flags.DEFINE_integer("num_processes", None, "How many processes the job has.")
    flags.DEFINE_integer("process_id", None, "Which of them this one is, from 0.")
    flags.DEFINE_bool("distributed", False, "Find the other processes by itself (TPU pod, SLURM).")


def help_sections() -> dict[str, list[tuple[str, str]]]:
    """Every field of the config: its default, meaning and bounds."""
    sections = {}
    for name, field in settings().items():
        group, _, last = f"config.{name}".rpartition(".")
        meaning = field.metadata["meaning"]
        meaning += f" ({bounds(field)})" if bounds(field) else ""
        title = f"settings of the {group.rpartition('.')[2]}, --{group}.NAME=VALUE, and defaults:"
        sections.setdefault(title, []).append((f"{last}={shown(field.default)}", meaning))
    return sections


def read_config(path: str) -> Config:
    """FILE or FILE:VARIANT -> what `get_config()` or `get_config(VARIANT)` of the file returns.

    Raises InputError when the file cannot be run or returns something else.
    """
    file, *variant = path.split(":", 1)
    if pathlib.Path(file).suffix != ".py":
        raise InputError(
            f"{file or '--config='}: a config is a Python file with get_config(); "
            "configs/ holds examples"
        )
    if not pathlib.Path(file).is_file():
        raise InputError(f"{file}: no such config file")
    try:
        made = runpy.run_path(file)
        made = made["get_config"](*variant) if "get_config" in made else None
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    except (Exception, SystemExit) as error:  # a config file is a program: it can end in any way
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file}: cannot run this config file ({reason})") from error
    if not isinstance(made, Config):
        raise InputError(
            f"{file}: needs a function get_config() that returns a hparse_jax.config.Config, "
            f"not {type(made).__name__}"
        )
    return made


def main(argv: list[str]) -> int | None:
    """`hparse train --config=FILE --workdir=DIR [--config.field=value ...]`

    The same command resumes a stopped run from its latest checkpoint.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    sharding.initialize(
        values.coordinator, values.num_processes, values.process_id, values.distributed
    )
    return train(values.config, values.workdir)


class _FieldParser(flags.ArgumentParser):
    """Reads the value of a field; what it cannot read stays text, for `validate` to refuse."""

    def __init__(self, read):
        self._read = read

    def parse(self, argument):
        try:
            return self._read(argument)
        except (TypeError, ValueError, SyntaxError):
            return argument


def _tuple(argument) -> tuple:
    value = ast.literal_eval(argument) if isinstance(argument, str) else argument
    return tuple(value) if isinstance(value, tuple | list) else (value,)


_READERS = {
    int: flags.IntegerParser().parse,
    float: flags.FloatParser().parse,
    bool: flags.BooleanParser().parse,
    str: flags.ArgumentParser().parse,
    tuple: _tuple,
}


def _check_fields(arguments: list[str]) -> None:
    """Raises InputError for a `--config.field` that does not exist, naming the close ones."""
    known, config_given = list(settings()), False
    for argument in arguments:
        name = argument.lstrip("-").partition("=")[0].removeprefix("no")
        field = name.removeprefix("config.")
        config_given |= name == "config"
        if name == field or not argument.startswith("-"):
            continue
        if not config_given:
            raise UsageError(f"give --config=FILE before --config.{field}")
        if field not in known:
            last = field.rpartition(".")[2]
            close = [f for f in known if last and last in f]
            close = close or difflib.get_close_matches(field, known)
            hint = f"close are {', '.join(close)}" if close else "hparse train --help lists all"
            raise InputError(f"config.{field}: no such field; {hint}")
