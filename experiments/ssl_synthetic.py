"""Does the structure-sensitive loss help? Base, base + SSL, base + the same steps without it.

    python experiments/ssl_synthetic.py --folder=runs/ssl

The two-stage training of LIP section 5.1 on synthetic people, whose left and right are hard to tell
apart, with a network small enough for two cores. For every seed: a base run, then further steps
from its weights with plain cross-entropy (the control), with the paper's product and with
1 + error, each with the paper's constant and with that of the released code. The structure loss
also makes larger steps, by its mean weight, which the table shows: hence more controls, plain
cross-entropy at larger learning rates. Run again, it resumes. Prints a table and writes
FOLDER/results.json and results.png.
"""

import json
import pathlib
import runpy
import statistics
import subprocess
import sys

from absl import app, flags
from charts import bar_chart

_FOLDER = flags.DEFINE_string("folder", "runs/ssl", "Holds the data, the runs and the results.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Number of seeds, from 0.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 1200, "Steps of a base run.", lower_bound=1)
_MORE = flags.DEFINE_integer("more", 400, "Further steps.", lower_bound=1)

RATE = 0.02
# folder, config.loss.structure and .structure_constants, factor of the learning rate
FURTHER = {
    "plain": ("none", "none", "paper", 1),
    "plain, 1.5 x rate": ("none_1.5_", "none", "paper", 1.5),
    "plain, 2.5 x rate": ("none_2.5_", "none", "paper", 2.5),
    "plain, 4 x rate": ("none_4_", "none", "paper", 4),
    "SSL, product": ("product_paper_", "product", "paper", 1),
    "SSL, 1 + error": ("one_plus_error_paper_", "one_plus_error", "paper", 1),
    "SSL, product, released": ("product", "product", "released", 1),
    "SSL, 1 + error, released": ("one_plus_error", "one_plus_error", "released", 1),
}
SIDES = ("left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe")


def main(argv: list[str]) -> None:
    """Does the runs that are not done yet and shows the comparison."""
    folder = pathlib.Path(_FOLDER.value)
    hparse("build", "synthetic", f"--data_dir={folder / 'data'}")
    results: dict[str, list[dict]] = {kind: [] for kind in ("base", *FURTHER)}
    for seed in range(_SEEDS.value):
        base = folder / f"base{seed}"
        train(base, seed, steps=_STEPS.value)
        results["base"].append(score(base))
        for kind, (name, structure, constants, factor) in FURTHER.items():
            workdir = folder / f"{name}{seed}"
            train(
                workdir,
                seed,
                steps=_MORE.value,
                init_from=base,
                optimizer__base_lr=factor * RATE,
                optimizer__warmup_steps=0,
                loss__structure=structure,
                loss__structure_constants=constants,
                loss__structure_stride=4,
            )
            results[kind].append(score(workdir))
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    show(results)
    bars = {
        name: [[run[measure] for run in runs] for runs in results.values()]
        for name, measure in (("all parts", "mean_iou"), ("left and right", "sides"))
    }
    title = "Mean IoU on the synthetic people"
    bar_chart(title, list(results), bars, folder / "results.png", ".4f")


def train(workdir: pathlib.Path, seed: int, **fields) -> None:
    """One run with the small network of experiments/demo.py."""
    overrides = runpy.run_path("experiments/demo.py")["OVERRIDES"]
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    values = overrides | {"data_dir": workdir.parent / "data", "seed": seed} | fields
    flags_of = [
        f"--config.{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}"
        for name, v in values.items()
    ]
    hparse("train", "--config=configs/synthetic.py", f"--workdir={workdir}", *flags_of)


def score(workdir: pathlib.Path) -> dict:
    """{"mean_iou", "sides": mean IoU of the six left and right parts} of the finest level, and
    {"weight": the mean weight of a pixel's loss over the logged steps}."""
    output = workdir / "scores.json"
    if not output.exists():
        hparse("evaluate", f"--workdir={workdir}", "--flip", f"--output={output}")
    parts = json.loads(output.read_text())["levels"][0]
    sides = statistics.mean(parts["iou"][name] for name in SIDES)
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    weights = [x.get("train/loss/structure", 1.0) for x in lines if "train/loss" in x]
    return {"mean_iou": parts["mean_iou"], "sides": sides, "weight": statistics.mean(weights)}


def hparse(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "hparse_jax", *arguments], check=True)


def show(results: dict[str, list[dict]]) -> None:
    """Prints mean and range over the seeds."""
    heading = f"{'parts':>8}{'range':>16}{'left/right':>12}{'range':>16}{'mean weight':>13}"
    print(f"\n{'mean IoU':26}{heading}")
    for kind, runs in results.items():
        row = f"{kind:26}"
        for measure, width in (("mean_iou", 8), ("sides", 12)):
            values = [run[measure] for run in runs]
            row += f"{statistics.mean(values):{width}.4f}"
            row += f"{min(values):9.4f}-{max(values):.4f}"
        print(f"{row}{statistics.mean(run['weight'] for run in runs):13.2f}")


if __name__ == "__main__":
    app.run(main)
