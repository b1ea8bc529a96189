"""Measures speed and memory of a trained parser, or of a config, on this machine."""

import dataclasses
import functools
import inspect
import json
import pathlib
import sys
import tempfile
import textwrap

from absl import flags

from hparse_jax.benchmark.cases import CASES, PARSING, Case, Subject, check
from hparse_jax.benchmark.measure import measure
from hparse_jax.commands import config_fields
from hparse_jax.commands.inference_flags import check_positive, numbers, workdir
from hparse_jax.config import Config, flat, shown
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.engines.choose import ENGINES, PRECISIONS
from hparse_jax.errors import InputError, UsageError
from hparse_jax.hierarchy import Hierarchy, get_hierarchy, shipped_hierarchies
from hparse_jax.storage import write_bytes
from hparse_jax.workdir import read_settings

_ENGINES = ", ".join(ENGINES)
# fields of this machine alone, which do not belong into results
_PLACES = {"data_dir", "hierarchy", "init_from"}


def define_flags() -> None:
    config_fields.define_flags()
    flags.adopt_module_key_flags(config_fields)  # --help lists them
    flags.DEFINE_string(
        "workdir",
        None,
        "The folder of the training run, or a file that `hparse pack` made. Default: --config with "
        "random weights; without it the parser that comes with the package.",
    )
    flags.DEFINE_list(
        "cases", ["inference", "predict"], "What to measure (default: inference,predict)."
    )
    flags.DEFINE_list(
        "engines", ["jax"], f"What computes the network where photographs are parsed: {_ENGINES}."
    )
    flags.DEFINE_enum(
        "precision", "auto", PRECISIONS, "Of the network where photographs are parsed."
    )
    flags.DEFINE_integer("repeats", 5, "Timed calls of each case.")
    flags.DEFINE_integer(
        "warmup", 1, "Calls before them; the first one compiles, or reads what is in the cache."
    )
    flags.DEFINE_integer(
        "batch",
        None,
        "Images at a time. Default: config.batch_size in training and its stream, else 1 on a CPU "
        "and 8 a device elsewhere.",
    )
    flags.DEFINE_list(
        "size",
        None,
        "HEIGHT,WIDTH of the images of inference, training and stream, pixels. Default: "
        "config.crop.",
    )
    flags.DEFINE_string(
        "photos", None, "A folder of photographs for predict. Default: 16 drawn people."
    )
    flags.DEFINE_string("output", None, "A file for the results, a line of JSON for each case.")


def help_sections() -> dict[str, list[tuple[str, str]]]:
    """The cases."""
    return {"cases:": [(name, inspect.getdoc(case)) for name, case in CASES.items()]}


def main(argv: list[str]) -> None:
    """`hparse benchmark [--workdir=RUN | --config=NAME_OR_FILE] [--cases=inference,predict]
        [--engines=jax,openvino]`

    Each case has a process of its own, whose peak memory is shown, without processes that decode
    for it (config.workers). On a CPU the timed calls of all cases take turns. With --config any
    field can be set, --config.model.depth=18; `hparse train --help` lists them. Random weights take
    the same time, but their label maps are noise, which makes larger files.
    """
    values = flags.FLAGS
    if argv:
        raise UsageError(f"no arguments but flags, not {' '.join(argv)}")
    check_positive("repeats", "warmup", "batch")
    cases = tuple(dict.fromkeys(values.cases))
    for name in cases:
        if name not in CASES:
            raise InputError(f"--cases={','.join(cases)}: no case {name}; give {', '.join(CASES)}")
    if not cases:
        raise InputError(f"--cases: none is given; give some of {', '.join(CASES)}")
    if not values.engines or not set(values.engines) <= set(ENGINES):
        raise InputError(f"--engines={','.join(values.engines)}: give some of {_ENGINES}")
    size = numbers("size", int, 17, 4096, "473,473")
    if size is not None and len(size) != 2:
        raise InputError(f"--size={','.join(values.size)}: give HEIGHT,WIDTH, e.g. 473,473")
    workdir, config, hierarchy = _chosen()
    with tempfile.TemporaryDirectory(prefix="hparse_benchmark_") as scratch:
        subject = Subject(
            config,
            hierarchy,
            workdir,
            pathlib.Path(scratch),
            size,
            values.batch,
            values.photos,
            precision=values.precision,
        )
        check(subject, cases)
        if values.output is not None:
            _check_writable(pathlib.Path(values.output))
        ready = {
            case if engine == "jax" else f"{case} {engine}": functools.partial(
                _prepare, case, dataclasses.replace(subject, engine=engine)
            )
            for case in cases
            for engine in (dict.fromkeys(values.engines) if case in PARSING else ["jax"])
        }
        results = measure(ready, values.repeats, values.warmup, _say)
    lines = [line | origin(workdir, config) for line in results]
    print(table(lines))
    if values.output is not None:
        write_bytes(values.output, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        print(f"written to {values.output}")


def _chosen() -> tuple[str | None, Config, Hierarchy]:
    """The workdir, None for random weights, with its config and its classes."""
    values = flags.FLAGS
    if not flags.FLAGS["config"].present:
        chosen = workdir()
        return chosen, *read_settings(chosen)
    if values.workdir is not None:
        raise UsageError("--workdir or --config, not both: a run has its own config")
    config = values.config
    if config.hierarchy or config.dataset in shipped_hierarchies():
        return None, config, get_hierarchy(config.hierarchy or config.dataset)
    return None, config, BuiltDataset(config.dataset, config.data_dir).hierarchy


def _check_writable(file: pathlib.Path) -> None:
    """Raises InputError or OSError before the measuring, not after it."""
    if file.is_dir():
        raise InputError(f"--output={file}: is a folder; give the path of a file")
    file.parent.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=file.parent).close()


def _prepare(name: str, subject: Subject) -> Case:
    """The case, made in its own process."""
    flags.FLAGS.mark_as_parsed()  # grain's worker processes ask for parsed flags
    return CASES[name](subject)


def origin(workdir: str | None, config: Config) -> dict:
    """What was measured, for every line: network, weights, and the fields of the config that are
    not the defaults."""
    default = flat(Config())
    weights = pathlib.Path(workdir).name if workdir else "random"
    different = {
        field: value
        for field, value in flat(config).items()
        if field not in _PLACES and value != default[field]
    }
    return {"network": config.model.name, "weights": weights, "config": different}


def table(lines: list[dict]) -> str:
    """The lines of one call of `measure`, with `origin`, as text of at most 100 columns."""
    machine, first = lines[0]["hardware"], lines[0]
    fill = functools.partial(
        textwrap.fill, width=100, subsequent_indent="  ", break_on_hyphens=False
    )
    cores = f"{machine['cores']} core{'s' * (machine['cores'] > 1)}"
    fields = [f"{name}={shown(value)}" for name, value in first["config"].items()]
    order = "in turn" if machine["accelerator"] is None else "one case after the other"
    memory = {"process_mib": "MiB"}
    if machine["accelerator"] is not None:
        memory["device_mib"] = "device MiB"
    heading = ("ms/image", "smallest", "largest", "images/s", "first call", *memory.values())
    rows = [
        fill(
            f"{machine['cpu']}, {cores}; {machine['accelerator'] or 'no accelerator'}; "
            f"jax {machine['jax']}, Python {machine['python']}, hparse_jax {machine['hparse_jax']}"
        ),
        fill(f"{first['network']}, weights: {first['weights']}; {' '.join(fields) or 'defaults'}"),
        "",
        f"{'case':22}" + "".join(f"{name:>11}" for name in heading),
    ]
    for line in lines:
        figures = [line[key] for key in ("ms_per_image", "ms_smallest", "ms_largest")]
        figures += [line["images_per_second"], line["first_call_seconds"]]
        cells = [_digits(x) for x in figures] + [f"{line[key]:.0f}" for key in memory]
        rows.append(f"{line['case']:22}" + "".join(f"{cell:>11}" for cell in cells))
    rows.append("")
    for line in lines:
        conditions = [f"{name} {shown(value)}" for name, value in line["conditions"].items()]
        meaning = inspect.getdoc(CASES[line["case"].partition(" ")[0]]).rstrip(".")
        rows.append(fill(f"{line['case']}: {meaning}; {', '.join(conditions)}"))
    rows.append(
        fill(
            f"{first['warmup']} to warm up, then {first['repeats']} timed calls, {order}; ms/image "
            "and images/s are of the median call, smallest and largest of the quickest and the "
            "slowest. The first call, in seconds, compiles or reads the cache. MiB: peak of the "
            "case's process."
        )
    )
    return "\n".join(rows)


def _digits(number: float) -> str:
    """Four digits, no exponent."""
    return f"{number:.0f}" if number >= 1000 else f"{number:.4g}"


def _say(line: str) -> None:
    print(f"hparse benchmark: {line}", file=sys.stderr, flush=True)
