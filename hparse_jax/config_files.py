"""The files that settings are read from: shipped ones by name, one's own by path."""

import ast
import dataclasses
import difflib
import pathlib
import runpy

from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.storage import run_file

_PACKAGE = pathlib.Path(__file__).parent
# An installed package has them inside, a checkout beside it.
_INSIDE, _BESIDE = _PACKAGE / "configs", _PACKAGE.parent / "configs"


@dataclasses.dataclass(frozen=True)
class ShippedConfig:
    """A config that comes with the package.

    purpose: the first line of its docstring. variants: what NAME:VARIANT takes, often nothing.
    """

    name: str
    file: pathlib.Path
    purpose: str
    variants: tuple[str, ...]


def shipped_configs() -> tuple[ShippedConfig, ...]:
    """Every config that comes with the package, by name."""
    return tuple(_shipped(name, file) for name, file in _shipped_files().items())


def read_config(text: str) -> Config:
    """NAME or FILE -> what its `get_config()` returns; with :VARIANT, `get_config(VARIANT)`.

    NAME: of a shipped config. FILE: the path of a Python file. Raises InputError when there is no
    such config, when its file cannot be run, or when it returns something else.
    """
    name, *variant = text.split(":", 1)
    shipped = _shipped_files()
    file = shipped.get(name) or _own_file(name)
    if name in shipped and variant:
        _check_variant(_shipped(name, file), *variant)
    try:
        made = run_file(file, "get_config", *variant)
        if not isinstance(made, Config):
            kind = type(made).__name__
            raise InputError(f"get_config() must return a hparse_jax.config.Config, not {kind}")
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return made


def _shipped_files() -> dict[str, pathlib.Path]:
    folder = _INSIDE if _INSIDE.is_dir() else _BESIDE
    return {file.stem: file for file in sorted(folder.glob("*.py"))}


def _shipped(name: str, file: pathlib.Path) -> ShippedConfig:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    variants = runpy.run_path(str(file)).get("VARIANTS", ())
    return ShippedConfig(name, file, docstring.partition("\n")[0], tuple(variants))


def _own_file(name: str) -> pathlib.Path:
    """The file of a path. Raises InputError, which names the shipped configs, when it is none."""
    file, shipped = pathlib.Path(name), _shipped_files()
    if file.suffix == ".py" and file.is_file():
        return file
    remedy = f"shipped are {', '.join(shipped)}; for your own give the path of a .py file"
    if file.suffix == ".py":
        close = f"{file.stem} without a path is a shipped one; " if file.stem in shipped else ""
        raise InputError(f"{name}: no such config file; {close}{remedy}")
    if not name or file.is_file():
        raise InputError(f"config={name}: a config is a Python file with get_config(); {remedy}")
    close = difflib.get_close_matches(name, shipped)
    hint = f"close are {', '.join(close)}; " if close else ""
    raise InputError(f"{name}: no such config; {hint}{remedy}")


def _check_variant(config: ShippedConfig, variant: str) -> None:
    if variant not in config.variants:
        known = f"one of {', '.join(config.variants)}" if config.variants else "it has none"
        raise InputError(f"{config.name}: no variant {variant!r}; {known}")
