"""The command line: `hparse VERB ...`, the same as `python -m hparse_jax VERB ...`.

Exit codes: 0 when everything asked was done; 1 for a wrong input, told in one line on stderr;
2 for a wrong usage. A verb's module has `define_flags()` and `main(arguments) -> int | None`.
"""

import difflib
import importlib
import inspect
import re
import runpy
import sys

from absl import flags

import hparse_jax
from hparse_jax.config import Config, flat
from hparse_jax.errors import InputError, UsageError

VERBS = {
    "build": ("hparse_jax.commands.build", "turn a raw dataset into the form that training reads"),
    "train": ("hparse_jax.commands.train", "train a parser, or go on with a stopped run"),
    "evaluate": ("hparse_jax.commands.evaluate", "score a trained parser on a labelled split"),
    "import-weights": (
        "hparse_jax.commands.import_weights",
        "turn published PyTorch weights into a workdir",
    ),
    "predict": ("hparse_jax.commands.predict", "parse photographs and folders of photographs"),
}

USAGE = """usage: hparse VERB [--flag=value ...]

{verbs}

hparse VERB --help lists the flags of a verb; hparse --version prints the version.
""".format(verbs="\n".join(f"  {verb:10}{purpose}" for verb, (_, purpose) in VERBS.items()))

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "numbers in a row: 1,2",
}


def main() -> int:
    """Runs the verb in `sys.argv` and returns the process's exit code."""
    verb, *arguments = sys.argv[1:] or [""]
    if verb in ("--help", "-h", "help"):
        print(USAGE, end="")
        return 0
    if verb == "--version":
        print(f"hparse_jax {hparse_jax.__version__}")
        return 0
    if verb not in VERBS:
        print(f"hparse: {_unknown_verb(verb)}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    try:
        return _run(verb, arguments)
    except UsageError as error:
        print(f"hparse {verb}: {_line(error)}", file=sys.stderr)
        print(f"usage: hparse {verb} [--flag=value ...]; see hparse {verb} --help", file=sys.stderr)
        return 2
    except (InputError, OSError) as error:
        print(f"hparse {verb}: {_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(verb: str, arguments: list[str]) -> int:
    module = importlib.import_module(VERBS[verb][0])
    module.define_flags()
    if {"--help", "-h", "--helpshort", "--helpfull"} & set(arguments):
        purpose, usage = inspect.getdoc(module), inspect.getdoc(module.main) or ""
        print(purpose, usage, flags.FLAGS.module_help(module), sep="\n\n")
        return 0
    return module.main(_parse_flags(verb, arguments)) or 0


def _parse_flags(verb: str, arguments: list[str]) -> list[str]:
    """Sets absl's flags and returns the positional arguments.

    Raises UsageError, or InputError when the config file or one of its fields is wrong.
    """
    if "config" in flags.FLAGS:
        _check_config(arguments)
    flags.FLAGS.set_gnu_getopt(True)  # flags may follow positional arguments
    try:
        return flags.FLAGS([f"hparse {verb}", *arguments])[1:]
    except flags.Error as error:
        message = _line(error)
        field = re.match(r"flag --config\.([^=]+)=(.*?): ", message)
        if field:
            kind = _KINDS.get(type(flat(Config())[field[1]]), "text")
            raise InputError(f"config.{field[1]}={field[2]}: must be {kind}") from error
        missing = re.findall(r"Flag --(\w+) must have a value", message)
        if missing:
            message = "missing " + ", ".join(f"--{name}=..." for name in missing)
        raise UsageError(message) from error


def _check_config(arguments: list[str]) -> None:
    """Raises InputError when `--config` or a `--config.field` among the arguments cannot be used.

    ml_collections would say so with a traceback, or, for a missing file, at the first access.
    """
    path = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if re.fullmatch(r"--?config(=.*)?", argument):
            path = argument.partition("=")[2] or following
        override = re.match(r"--?(?:no)?config\.([^=]+)", argument)
        if override and not path:
            raise UsageError(f"give --config=FILE before --config.{override[1]}")
        if override and override[1] not in flat(Config()):
            raise InputError(f"config.{override[1]}: no such field; {_close_fields(override[1])}")
    if not path:
        return
    file, *variant = path.split(":", 1)  # FILE:TEXT calls get_config(TEXT)
    try:
        made = runpy.run_path(file)["get_config"](*variant)
    except InputError:
        raise
    except Exception as error:  # a config file is a program: it can fail in any way
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{file}: cannot read this config file ({reason})") from error
    if not isinstance(made, Config):
        raise InputError(
            f"{file}: get_config() returned a {type(made).__name__}; "
            "it must return a hparse_jax.config.Config"
        )


def _close_fields(name: str) -> str:
    known = list(flat(Config()))
    last = name.rpartition(".")[2]
    close = [field for field in known if last in field] or difflib.get_close_matches(name, known)
    return f"close are {', '.join(close)}" if close else f"known are {', '.join(known)}"


def _unknown_verb(verb: str) -> str:
    if not verb:
        return "which verb?"
    close = difflib.get_close_matches(verb, VERBS, 1)
    return f"no verb {verb!r}" + (f"; did you mean {close[0]}?" if close else "")


def _line(error: Exception) -> str:
    """The message in one line; the type's name when there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":  # worker processes import this module again
    sys.exit(main())
