"""CNIF Table 6, the static fusions of section 3.1 and shared node heads: runs and tables of them.

    python experiments/cnif/ablation.py --folder=runs/ablation
    python experiments/cnif/ablation.py --folder=runs/ablation --tables
    python experiments/cnif/ablation.py --folder=runs/pascal --flip \\
        --config=configs/pascal_person_part.py --config.eval_scales=0.5,0.75,1,1.25,1.5

Trains and scores every row with every seed, one seed after the other, so that a campaign that is
stopped has whole seeds; started again, it resumes. FOLDER/ROW/seedK is a run like any other, for
`hparse predict --workdir=FOLDER/full/seed0`. SIGTERM ends it with exit code 143; the step is saved.
When all runs are done, or with --tables at any time, it writes FOLDER/ablation.json, .md and .png:
mean IoU of every level, its mean and standard deviation over the seeds, and differences of two
rows, paired by seed, beside the paper's.

Any built dataset will do. Without --config, experiments/cnif/small.py: settings for two cores.
Every --config.FIELD=VALUE of `hparse train` holds for all rows.
"""

import argparse
import dataclasses
import json
import pathlib
import signal
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import jax
from absl import flags

from hparse_jax.commands import train as train_verb
from hparse_jax.commands.train import TERMINATED
from hparse_jax.config import Config
from hparse_jax.errors import InputError
from hparse_jax.storage import write_bytes, write_json
from hparse_jax.training.train import train
from hparse_jax.workdir import CHECKPOINTS

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from charts import dot_chart  # noqa: E402, beside the folder of this script
from runs import EVALUATION, score  # noqa: E402

FULL = {"hierarchy": True, "bottom_up": True, "top_down": True, "fusion": "conditional"}
UNGATED = FULL | {"fusion": "unconditional"}
# row, as the folders are named -> (its name in the paper's Table 6 or ours, its config.model)
ROWS = {
    "backbone": ("backbone", FULL | {"hierarchy": False}),
    "direct": ("direct", FULL | {"bottom_up": False, "top_down": False}),
    "bottom_up": ("direct + bottom-up", UNGATED | {"top_down": False}),
    "top_down": ("direct + top-down", UNGATED | {"bottom_up": False}),
    "both": ("direct + bottom-up + top-down", UNGATED),
    "full": ("full model", FULL),
    "product_of_experts": ("product of experts", FULL | {"fusion": "product_of_experts"}),
    "bayesian": ("Bayesian fusion", FULL | {"fusion": "bayesian"}),
    "ensemble": ("ensemble", FULL | {"fusion": "ensemble"}),
    "shared_heads": ("full model, shared heads", FULL | {"node_heads": "shared"}),
}
# The steps that section 4.4 reads from Table 6, each a row and the one that it adds to; then every
# other rule of fusion and the shared heads against the full model.
DIFFERENCES = (
    ("direct", "backbone"),
    ("bottom_up", "direct"),
    ("top_down", "direct"),
    ("top_down", "bottom_up"),
    ("both", "bottom_up"),
    ("both", "top_down"),
    *(("full", row) for row in ROWS if row != "full"),
)

Reports = dict[str, dict[int, dict]]  # row -> seed -> evaluate JSON


def main() -> int:
    """Runs what is missing and tabulates; the exit code of training when that was stopped."""
    arguments, fields = read_arguments()
    folder, seeds = pathlib.Path(arguments.folder), arguments.seeds
    if arguments.tables:
        print(tabulate(folder, arguments.rows, seeds))
        return 0
    base = read_config(arguments, fields)
    # Training has its own way to end, which saves the step; everything else can be repeated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    runs = [(row, seed) for seed in seeds for row in arguments.rows]
    begin, trained = time.perf_counter(), 0
    for number, (row, seed) in enumerate(runs, 1):
        workdir = folder / row / f"seed{seed}"
        config = dataclasses.replace(
            base, seed=seed, model=dataclasses.replace(base.model, **ROWS[row][1])
        )
        print(f"\nrun {number} of {len(runs)}: {row}, seed {seed}", flush=True)
        before = (workdir / EVALUATION).exists()
        if not train(config, workdir):
            return TERMINATED
        report = score(workdir, config, arguments.flip)
        means = " / ".join(f"{100 * level['mean_iou']:.2f}" for level in report["levels"])
        trained += not before
        minutes = (time.perf_counter() - begin) / 60
        missing = sum(not (folder / r / f"seed{s}" / EVALUATION).exists() for r, s in runs)
        left = f", about {minutes / trained * missing:.0f} min" if trained and missing else ""
        print(f"mean IoU {means}; {minutes:.0f} min; left: {missing} of {len(runs)} runs{left}")
        jax.clear_caches()  # every run compiles programs of its own
    print(tabulate(folder, arguments.rows, seeds))
    return 0


def read_arguments() -> tuple[argparse.Namespace, list[str]]:
    """(the script's own flags, the --config.FIELD=VALUE of the rest)."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--folder", required=True, help="of the runs and the tables")
    parser.add_argument("--dataset", help="a built dataset; default: the config's")
    parser.add_argument("--data_dir", help="where it was built; default: the config's")
    parser.add_argument("--config", metavar="FILE", help="default: experiments/cnif/small.py")
    parser.add_argument(
        "--seeds",
        type=whole_numbers,
        default=[0, 1, 2],
        help="default: 0,1,2",
    )
    parser.add_argument(
        "--rows",
        type=lambda text: [row for row in ROWS if row in known(text.split(","))],
        default=list(ROWS),
        help=f"default: all, {','.join(ROWS)}",
    )
    parser.add_argument("--flip", action="store_true", help="evaluate mirrored photos, too")
    parser.add_argument("--tables", action="store_true", help="only tabulate what is there")
    return parser.parse_known_args()


def whole_numbers(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(map(int, text.split(","))))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give whole numbers, e.g. 0,1,2") from error


def known(rows: Sequence[str]) -> Sequence[str]:
    unknown = [row for row in rows if row not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]}; known are {', '.join(ROWS)}")
    return rows


def read_config(arguments: argparse.Namespace, fields: list[str]) -> Config:
    """The config that `hparse train` would read from these flags."""
    small = f"{HERE / 'small.py'}:{arguments.dataset or 'fashion_clothing'}"
    given = {"dataset": arguments.dataset, "data_dir": arguments.data_dir}
    # from sys.argv, where the flags of a config look for its fields
    sys.argv[1:] = [
        f"--config={arguments.config or small}",
        f"--workdir={arguments.folder}",
        *(f"--config.{field}={value}" for field, value in given.items() if value),
        *fields,
    ]
    train_verb.define_flags()
    left_over = flags.FLAGS(sys.argv)[1:]
    if left_over:
        raise InputError(f"{left_over[0]}: only flags are read; see --help")
    name = flags.FLAGS.config.model.name
    if name != "cnif":
        raise InputError(f"config.model.name={name}: the rows are of cnif; leave it out")
    return flags.FLAGS.config


def tabulate(folder: pathlib.Path, rows: Sequence[str], seeds: Sequence[int]) -> str:
    """Writes ablation.json, ablation.md and ablation.png; returns the text of ablation.md."""
    files = {
        row: {seed: folder / row / f"seed{seed}" / EVALUATION for seed in seeds} for row in rows
    }
    reports = {
        row: {seed: json.loads(file.read_text()) for seed, file in of.items() if file.exists()}
        for row, of in files.items()
    }
    tree = summary(reports)
    tree["unfinished"] = [
        {"row": row, "seed": seed, "step": last_step(file.parent)}
        for row, of in files.items()
        for seed, file in of.items()
        if not file.exists()
    ]
    paper = json.loads((HERE / "paper.json").read_text())["table6"]
    text = markdown(tree, paper["rows"])
    write_json(folder / "ablation.json", tree)
    write_bytes(folder / "ablation.md", text.encode())
    panels = {
        f"{level}: mean IoU (%)": [
            [100 * value for value in row[level]["seeds"].values()] for row in tree["rows"].values()
        ]
        for level in tree["levels"]
    }
    names = [ROWS[row][0] for row in tree["rows"]]
    dot_chart(title(tree), names, panels, folder / "ablation.png")
    return text


def last_step(workdir: pathlib.Path) -> int | None:
    """The step of the newest checkpoint; None without one."""
    names = [path.name for path in (workdir / CHECKPOINTS).glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=None)


def summary(reports: Reports) -> dict:
    """What the evaluations have in common, and as fractions {"rows": row -> level -> values,
    "differences": [{"row", "minus", level -> values}]} with values = {"seeds", "mean", "sd"}.

    A difference is taken seed by seed, over the seeds that both rows have. "sd": the standard
    deviation of a sample, None for a single seed. Raises InputError when there is no evaluation,
    and for evaluations made in different ways.
    """
    every = [(row, seed, report) for row, of in reports.items() for seed, report in of.items()]
    if not every:
        raise InputError("no run is finished yet; run without --tables, or give their --folder")
    keys = ("dataset", "split", "images", "step", "scales", "side", "flip")
    common = {key: every[0][2][key] for key in keys}
    for row, seed, report in every:
        for key in keys:
            if report[key] != common[key]:
                raise InputError(
                    f"{row}/seed{seed}/{EVALUATION}: {key} is {report[key]}, {common[key]} in "
                    "others; run without --tables, which scores all runs in one way"
                )
    scored = {
        row: {seed: {x["name"]: x["mean_iou"] for x in of[seed]["levels"]} for seed in sorted(of)}
        for row, of in reports.items()
    }
    levels = [x["name"] for x in max((report["levels"] for *_, report in every), key=len)]
    return common | {
        "levels": levels,
        "rows": {row: {x: spread(column(of, x)) for x in levels} for row, of in scored.items()},
        "differences": [
            {"row": row, "minus": other, **{x: paired(scored, row, other, x) for x in levels}}
            for row, other in DIFFERENCES
            if row in scored and other in scored
        ],
    }


def column(of: Mapping[int, Mapping[str, float]], level: str) -> dict[int, float]:
    """seed -> score at a level, for the seeds that have one."""
    return {seed: scores[level] for seed, scores in of.items() if level in scores}


def paired(scored: Mapping, row: str, other: str, level: str) -> dict:
    ours, theirs = column(scored[row], level), column(scored[other], level)
    return spread({seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs})


def spread(values: Mapping[int, float]) -> dict:
    numbers = list(values.values())
    return {
        "seeds": dict(values),
        "mean": statistics.mean(numbers) if numbers else None,
        "sd": statistics.stdev(numbers) if len(numbers) > 1 else None,
    }


def title(tree: dict) -> str:
    views = ", ".join(f"{scale:g}" for scale in tree["scales"]) + " with flip" * tree["flip"]
    photos = f"{tree['dataset']} {tree['split']}, {tree['images']} photos"
    photos += f" with longer side {tree['side']}" if tree["side"] else ""
    return f"{photos}, step {tree['step']}, scales {views}"


def markdown(tree: dict, paper: Mapping[str, Sequence[float | None]]) -> str:
    """The tables of `summary` and of `unfinished`, in percent. paper: name of a row -> mean IoU of
    every level."""
    levels = tree["levels"]
    heads = [*levels, *(f"paper, level {i + 1}" for i in range(len(levels)))]
    lines = [f"# Ablation: {title(tree)}", ""]
    lines += [
        "Mean IoU in %: mean ± standard deviation over the seeds (their number in brackets).",
        "The paper's column is PASCAL-Person-Part, one run.",
        "",
        *table_head("row", heads),
    ]
    for row, values in tree["rows"].items():
        theirs = [x if x is None else f"{x:.2f}" for x in paper_row(paper, row, levels)]
        ours = [cell_of(values[level], "{:.2f}") for level in levels]
        lines.append(table_line(ROWS[row][0], [*ours, *theirs]))
    lines += [
        "",
        "Differences in percentage points, paired by seed: mean ± standard deviation (seeds with a "
        "gain, of all).",
        "",
        *table_head("difference", heads),
    ]
    for difference in tree["differences"]:
        row, other = difference["row"], difference["minus"]
        pairs = zip(paper_row(paper, row, levels), paper_row(paper, other, levels), strict=True)
        theirs = [f"{a - b:+.2f}" if a is not None and b is not None else None for a, b in pairs]
        ours = [gain_of(difference[level]) for level in levels]
        lines.append(table_line(f"{ROWS[row][0]} less {ROWS[other][0]}", [*ours, *theirs]))
    if tree["unfinished"]:
        runs = ", ".join(
            f"{x['row']} seed {x['seed']} "
            + ("(not started)" if x["step"] is None else f"(saved at step {x['step']})")
            for x in tree["unfinished"]
        )
        lines += ["", f"Unfinished, hence not in the tables: {runs}."]
    return "\n".join(lines) + "\n"


def paper_row(paper: Mapping, row: str, levels: Sequence[str]) -> list[float | None]:
    values = list(paper.get(ROWS[row][0], []))[: len(levels)]
    return values + [None] * (len(levels) - len(values))


def cell_of(values: dict, form: str) -> str | None:
    """ "23.10 ± 0.40 (3)"; None without a value."""
    if values["mean"] is None:
        return None
    text = form.format(100 * values["mean"])
    text += "" if values["sd"] is None else f" ± {100 * values['sd']:.2f}"
    return f"{text} ({len(values['seeds'])})"


def gain_of(values: dict) -> str | None:
    """ "+1.20 ± 0.40 (3 of 3)": seeds with a gain, of all."""
    text = cell_of(values, "{:+.2f}")
    if text is None:
        return None
    gains = [value > 0 for value in values["seeds"].values()]
    return text.rpartition("(")[0] + f"({sum(gains)} of {len(gains)})"


def table_head(first: str, heads: Iterable[str]) -> list[str]:
    heads = list(heads)
    return [table_line(first, heads), "|---|" + "---|" * len(heads)]


def table_line(first: str, cells: Iterable[str | None]) -> str:
    return "| " + " | ".join([first, *(cell or "-" for cell in cells)]) + " |"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except flags.Error as error:
        wrong = error.__context__ if isinstance(error.__context__, InputError) else error
        sys.exit(f"ablation: {wrong}")
    except (InputError, OSError) as error:
        sys.exit(f"ablation: {error}")
