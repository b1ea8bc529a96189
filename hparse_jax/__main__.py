"""The command line: `hparse VERB ...`, the same as `python -m hparse_jax VERB ...`.

Exit codes: 0 when everything asked was done; 1 for a wrong input, reported in one line on stderr;
2 for wrong usage. The module of a verb is `commands.VERB`, with `define_flags()`,
`main(arguments) -> int | None` and, where --help lists more than flags, `help_sections()`.
"""

import difflib
import errno
import functools
import importlib
import inspect
import os
import re
import sys
import textwrap
import types

from absl import flags

import hparse_jax
from hparse_jax._xla import set_compile_cache
from hparse_jax.errors import InputError, UsageError

VERBS = {
    "build": "convert a raw dataset into the files that training reads",
    "train": "train a parser, or resume a run",
    "evaluate": "score a trained parser on a labelled split",
    "import-weights": "convert published PyTorch weights into a workdir",
    "predict": "parse photographs and folders of photographs",
    "pack": "make one file of a trained parser",
    "info": "show what a trained parser is: classes, training, scores, size, cost",
    "doctor": "look at this machine: devices, versions, precision, free room, speed",
    "configs": "list the configs that come with the package",
    "export": "write a trained parser as ONNX or StableHLO, for other runtimes",
    "benchmark": "measure speed and memory on this machine",
    "serve": "parse photographs over HTTP, with a page to try it on",
}

USAGE = """usage: hparse VERB [--flag=value ...]

{verbs}

hparse VERB --help lists the flags of a verb; hparse --version prints the version.
""".format(verbs="\n".join(f"  {verb:16}{purpose}" for verb, purpose in VERBS.items()))

_OS_ERRORS = {
    errno.ENOENT: "no such file or folder",
    errno.EEXIST: "exists already and is a file; give the path of a folder",
    errno.ENOTDIR: "a part of this path is a file, not a folder; give another path",
    errno.EISDIR: "is a folder; give the path of a file",
    errno.EACCES: "permission denied; change the permissions, or give another path",
    errno.EROFS: "the file system is read-only; give another path",
}


def main() -> int:
    """Runs the verb in `sys.argv` and returns the process's exit code."""
    verb, *arguments = sys.argv[1:] or [""]
    if verb == "--version":
        print(f"hparse_jax {hparse_jax.__version__}")
        return 0
    if verb in ("--help", "-h", "help"):
        if not arguments:
            print(USAGE, end="")
            return 0
        verb, arguments = arguments[0], ["--help"]
    verb = verb.replace("_", "-")
    if verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        message = f"no verb {verb!r}{hint}" if verb else "which verb?"
        print(f"hparse: {message}\n\n{USAGE}", end="", file=sys.stderr)
        return 2
    set_compile_cache()
    try:
        module = importlib.import_module(f"hparse_jax.commands.{verb.replace('-', '_')}")
        module.define_flags()
        if {"--help", "-h"} & set(arguments):
            print(_help(module), flush=True)
            return 0
        return module.main(_parse_flags(arguments)) or 0
    except (UsageError, flags.Error) as error:
        print(f"hparse {verb}: {_line(error)}", file=sys.stderr)
        print(f"usage: hparse {verb} [--flag=value ...]; see hparse {verb} --help", file=sys.stderr)
        return 2
    except BrokenPipeError:  # nobody reads on, as in `hparse train --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError) as error:
        print(f"hparse {verb}: {_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _help(module: types.ModuleType) -> str:
    """What a verb does, its flags with their defaults, and its further sections."""
    rows = []
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        meaning = flag.help
        if isinstance(flag, flags.EnumFlag):  # absl's help of it: "<one|two>: meaning"
            meaning = f"{meaning.partition('>: ')[2]} One of {', '.join(flag.parser.enum_values)}."
        if flag.validators:
            meaning += " Required."
        elif isinstance(flag.default, str | int | float) and flag.default is not False:
            meaning += f" (default: {flag.default})"
        rows.append((f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}", meaning))
    sections = {"flags:": rows} if rows else {}
    if hasattr(module, "help_sections"):
        sections |= module.help_sections()
    lines = [inspect.getdoc(module), "", inspect.getdoc(module.main) or ""]
    for title, rows in sections.items():
        lines += ["", title]
        width = max(len(name) for name, _ in rows) + 2
        fill = functools.partial(
            textwrap.fill, width=100, subsequent_indent=" " * (width + 2), break_on_hyphens=False
        )
        lines += [fill(f"  {name:{width}}{meaning}") for name, meaning in rows]
    return "\n".join(lines)


def _parse_flags(arguments: list[str]) -> list[str]:
    """Sets absl's flags and returns the positional arguments.

    Raises UsageError, or the InputError that the parser of a flag raised.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    arguments[:end] = map(_underscored, arguments[:end])
    flags.FLAGS.set_gnu_getopt(True)  # flags may follow positional arguments
    try:
        positional = flags.FLAGS(["hparse", *arguments])[1:]
    except (flags.Error, ValueError) as error:
        if isinstance(error.__context__, InputError):
            raise error.__context__ from None
        raise UsageError(_flag_error(error)) from error
    for name in flags.FLAGS:
        count = flags.FLAGS[name].present
        if count > 1 and not name.startswith("config."):
            raise UsageError(f"--{name} is given {count} times; give it once")
        if count > 1:  # a script appends its own arguments to the overrides in it
            print(f"--{name} is given {count} times; the last one counts", file=sys.stderr)
    return positional


def _underscored(argument: str) -> str:
    """`--skip-bad=x-y` -> `--skip_bad=x-y`: both spellings of a flag work."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name[:2] == "--" else argument


def _flag_error(error: Exception) -> str:
    """absl's message about a flag in one sentence that names the flag and what it takes."""
    message = _line(error)
    if isinstance(error, flags.UnrecognizedFlagError):
        close = difflib.get_close_matches(error.flagname, flags.FLAGS, 1)
        return f"no flag --{error.flagname}" + (f"; did you mean --{close[0]}?" if close else "")
    missing = re.findall(r"Flag --(\w+) must have a value", message)
    if missing:
        return "missing " + ", ".join(f"--{name}=..." for name in missing)
    wrong = re.match(r"flag (--(\w+)=.*?): ", message)
    if wrong:
        flag = flags.FLAGS[wrong[2]]
        if flag.boolean:
            return f"{wrong[1]}: takes only true or false; without a value it means true"
        takes = flag.parser.syntactic_help  # "an integer", "a positive number", or nothing
        return f"{wrong[1]}: must be {takes}" if takes else message.removeprefix("flag ")
    return message


def _line(error: Exception) -> str:
    """The message in one line; the type's name when there is no message."""
    message = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        reason = _OS_ERRORS.get(error.errno, error.strerror)
        message = f"{error.filename2 or error.filename}: {reason}"
    return " ".join(message.split()) or type(error).__name__


if __name__ == "__main__":  # worker processes import this module again
    sys.exit(main())
