"""Does the structure-sensitive loss help? Base, base + SSL, base + the same steps without it.

    python experiments/ssl_synthetic.py --folder=runs/ssl

The two-step training of LIP section 5.1 on drawn people, whose left and right are hard, with a
small network that two cores can train: for every seed a base run, then from its weights further
steps with plain cross-entropy (the control), with the paper's product and with 1 + error. The
structure loss also makes longer steps: its weights had means of 1.5 (product) and 2.5 (1 + error)
here, so there are two further controls, plain cross-entropy at 1.5 and 2.5 times the rate. Started
again, it goes on where it stopped. Prints a table and writes FOLDER/results.json and results.jpg.
"""

import json
import pathlib
import runpy
import statistics
import subprocess
import sys

from absl import app, flags
from charts import bar_chart

_FOLDER = flags.DEFINE_string("folder", "runs/ssl", "Where data, runs and results lie.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each kind.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 1200, "Steps of a base run.", lower_bound=1)
_MORE = flags.DEFINE_integer("more", 400, "Further steps.", lower_bound=1)

RATE = 0.02
# folder, config.loss.structure, learning rate
FURTHER = {
    "base + plain steps": ("none", "none", RATE),
    "base + SSL (product)": ("product", "product", RATE),
    "base + plain, 1.5 x rate": ("none_1.5_", "none", 1.5 * RATE),
    "base + SSL (1 + error)": ("one_plus_error", "one_plus_error", RATE),
    "base + plain, 2.5 x rate": ("none_2.5_", "none", 2.5 * RATE),
}
SIDES = ("left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe")


def main(argv: list[str]) -> None:
    """Runs what is not done yet, then shows the comparison."""
    folder = pathlib.Path(_FOLDER.value)
    hparse("build", "synthetic", f"--data_dir={folder / 'data'}")
    results: dict[str, list[dict]] = {kind: [] for kind in ("base", *FURTHER)}
    for seed in range(_SEEDS.value):
        base = folder / f"base{seed}"
        train(base, seed, steps=_STEPS.value)
        results["base"].append(score(base))
        for kind, (name, structure, rate) in FURTHER.items():
            workdir = folder / f"{name}{seed}"
            train(
                workdir,
                seed,
                steps=_MORE.value,
                init_from=base,
                optimizer__base_lr=rate,
                optimizer__warmup_steps=0,
                loss__structure=structure,
                loss__structure_stride=4,
            )
            results[kind].append(score(workdir))
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    show(results)
    bars = {kind: [run["mean_iou"] for run in runs] for kind, runs in results.items()}
    bar_chart("mean IoU of the parts, drawn people", bars, folder / "results.jpg")


def train(workdir: pathlib.Path, seed: int, **fields) -> None:
    """One run with the demo's small network."""
    overrides = runpy.run_path("experiments/demo.py")["OVERRIDES"]
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    values = overrides | {"data_dir": workdir.parent / "data", "seed": seed} | fields
    flags_of = [
        f"--config.{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}"
        for name, v in values.items()
    ]
    hparse("train", "--config=configs/synthetic.py", f"--workdir={workdir}", *flags_of)


def score(workdir: pathlib.Path) -> dict:
    """{"mean_iou", "sides": mean IoU of the six left and right parts} of the finest level."""
    output = workdir / "scores.json"
    if not output.exists():
        hparse("evaluate", f"--workdir={workdir}", "--flip", f"--output={output}")
    parts = json.loads(output.read_text())["levels"][0]
    sides = statistics.mean(parts["iou"][name] for name in SIDES)
    return {"mean_iou": parts["mean_iou"], "sides": sides}


def hparse(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "hparse_jax", *arguments], check=True)


def show(results: dict[str, list[dict]]) -> None:
    """Mean and spread (smallest to largest) over the seeds."""
    print(f"\n{'mean IoU':26}{'parts':>8}{'spread':>16}{'left/right':>12}{'spread':>16}")
    for kind, runs in results.items():
        row = f"{kind:26}"
        for measure, width in (("mean_iou", 8), ("sides", 12)):
            values = [run[measure] for run in runs]
            row += f"{statistics.mean(values):{width}.4f}"
            row += f"{min(values):9.4f}-{max(values):.4f}"
        print(row)


if __name__ == "__main__":
    app.run(main)
