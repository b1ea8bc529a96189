"""The flag --config and those of its fields, of `train` and `benchmark`."""

import difflib
import re
import sys

from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags.tuple_parser import TupleParser

from hparse_jax.config import Config, settings, shown
from hparse_jax.config_files import read_config
from hparse_jax.errors import InputError, UsageError


def define_flags() -> None:
    """Defines the flags. Raises InputError when `sys.argv` sets an unknown field."""
    _check_fields(sys.argv[1:])  # which config_flags reads too; it would raise a KeyError
    config_flags.register_flag_parser_for_type(int, _FieldParser(flags.IntegerParser()))
    config_flags.register_flag_parser_for_type(float, _FieldParser(flags.FloatParser()))
    config_flags.register_flag_parser_for_type(bool, _FieldParser(flags.BooleanParser()))
    config_flags.register_flag_parser_for_type(tuple, _FieldParser(TupleParser()))
    config_flags.DEFINE_config_dataclass(
        "config",
        Config(),
        "A name of `hparse configs`, or a Python file with get_config(); NAME:VARIANT and "
        "FILE:VARIANT call get_config(VARIANT).",
        parse_fn=read_config,
    )


def help_sections() -> dict[str, list[tuple[str, str]]]:
    """Every field of the config: its default, meaning and bounds."""
    sections = {}
    for name, field in settings().items():
        group, _, last = f"config.{name}".rpartition(".")
        meaning, bounds = field.metadata["meaning"], field.metadata["bounds"]
        title = f"{group.rpartition('.')[2]} fields and defaults, --{group}.NAME=VALUE:"
        row = f"{last}={shown(field.default)}", meaning + (f" ({bounds})" if bounds else "")
        sections.setdefault(title, []).append(row)
    return sections


class _FieldParser(flags.ArgumentParser):
    """What a field's own parser cannot read stays text, for `validate` to refuse."""

    def __init__(self, parser: flags.ArgumentParser):
        self._parser = parser

    def parse(self, argument):
        try:
            return self._parser.parse(argument)
        except (TypeError, ValueError):
            return argument


def _check_fields(arguments: list[str]) -> None:
    """Raises InputError for a `--config.FIELD` that does not exist, naming the close ones."""
    known, config_given = list(settings()), False
    for argument in arguments:
        config_given |= re.match("--?config(=|$)", argument) is not None
        override = re.match("--?(?:no)?config\\.([^=]*)", argument)
        if not override:
            continue
        field = override[1].replace("-", "_")
        if not config_given:
            raise UsageError(f"give --config=NAME before --config.{field}")
        group = [f for f in known if f.startswith(f"{field}.")]
        if group:
            raise InputError(f"config.{field}: a group of fields; set one, e.g. config.{group[0]}")
        if field not in known:
            last = field.rpartition(".")[2]
            close = [f for f in known if last and last in f]
            close = close or difflib.get_close_matches(field, known)
            hint = f"close are {', '.join(close)}" if close else "hparse train --help lists all"
            raise InputError(f"config.{field}: no such field; {hint}")
