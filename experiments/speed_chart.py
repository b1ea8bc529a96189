"""A chart of results of `hparse benchmark`: a panel for each case, a row for each file.

    hparse benchmark --config=lip --config.model.dtype=float32 --output=float32.jsonl
    hparse benchmark --config=lip --config.model.dtype=bfloat16 --output=bfloat16.jsonl
    python experiments/speed_chart.py --output=speed.png float32.jsonl bfloat16.jsonl

Every timed call is a dot; their mean is a bar, their standard deviation a line.
"""

import argparse
import json
import pathlib
import sys

import charts  # beside this script

from hparse_jax.errors import InputError


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("--output", required=True, metavar="FILE.png")
    flags.add_argument("files", nargs="+", metavar="FILE.jsonl")
    arguments = flags.parse_args()
    files = [pathlib.Path(name) for name in arguments.files]
    results = [read(file) for file in files]
    cases = dict.fromkeys(case for result in results for case in result)
    panels = {f"{case}, ms an image": [r.get(case, []) for r in results] for case in cases}
    rows = [file.stem for file in files]
    charts.dot_chart("hparse benchmark", rows, panels, pathlib.Path(arguments.output))


def read(file: pathlib.Path) -> dict[str, list[float]]:
    """Case -> milliseconds an image in each timed call. Raises InputError for another file."""
    try:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return {x["case"]: [1000 * s / x["images"] for s in x["seconds"]] for x in lines}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: no output of `hparse benchmark` ({error})") from error


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"speed_chart: {error}")
