"""Lists the configs that come with the package: names that `hparse train --config=NAME` takes."""

import functools
import textwrap

from hparse_jax.config_files import shipped_configs
from hparse_jax.errors import UsageError


def define_flags() -> None:
    """There are none."""


def main(argv: list[str]) -> None:
    """`hparse configs`

    A line for each says what it trains. `--config=NAME:VARIANT` takes one of its variants. The
    file that is named at the end of the list holds commands, hardware and scores.
    """
    if argv:
        raise UsageError(f"no arguments, not {' '.join(argv)}")
    configs = shipped_configs()
    width = max(len(config.name) for config in configs) + 2
    fill = functools.partial(
        textwrap.fill, width=100, subsequent_indent=" " * width, break_on_hyphens=False
    )
    for config in configs:
        print(fill(f"{config.name:{width}}{config.purpose}"))
        if config.variants:
            print(fill(f"{'':{width}}variants: {', '.join(config.variants)}"))
    print(f"\nTheir files, with commands, hardware and scores: {configs[0].file.parent}")
