"""Which recipe trains the parser that comes with the package? One change a trial.

    hparse build fashion_clothing --manual_dir=RAW --data_dir=data
    hparse build synthetic --data_dir=data
    python experiments/street/trials.py --folder=runs/trials --data_dir=data
    python experiments/street/trials.py --folder=runs/trials --data_dir=data --trials=lovasz,ema

The full model as experiments/cnif/small.py makes it, with half of its epochs: some minutes a trial
on one core; every trial changes one thing of the first. FOLDER/TRIAL is a run like any other.
Stopped, it resumes; trials that are done are passed over. Writes FOLDER/trials.json and trials.md:
mean IoU of every level on the validation photos.
"""

import argparse
import dataclasses
import json
import pathlib
import runpy
import sys

import jax

from hparse_jax.commands.train import TERMINATED
from hparse_jax.errors import InputError
from hparse_jax.storage import write_bytes, write_json
from hparse_jax.training.train import train

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from runs import EVALUATION, score, set_fields  # noqa: E402, beside the folder of this script

small = runpy.run_path(str(HERE.parent / "cnif" / "small.py"))["get_config"]
EPOCHS = 20
DRAWN = "drawn_people"  # the folder of the run that one trial starts from
# name -> (what is changed, fields of the config)
TRIALS = {
    "base": ("experiments/cnif/small.py", {}),
    "lovasz": ("Lovasz-softmax, too", {"loss.lovasz_weight": 1.0, "loss.lovasz_stride": 3}),
    "ema": ("averaged weights", {"ema": 0.998}),
    "inverse_log": ("class weights 16 / log(n)", {"loss.class_weights": "inverse_log"}),
    "median": ("class weights median / n", {"loss.class_weights": "median_frequency"}),
    "jitter": ("colour jitter", {"jitter": (0.1, 0.5, 0.5, 0.1)}),
    "rotation": ("rotation by up to 20 degrees", {"rotation": 20.0}),
    "scales": ("scales 0.15 to 0.5", {"scale": (0.15, 0.5)}),
    "drop_path": ("stochastic depth, 0.2", {"model.drop_path": 0.2}),
    "decay": ("five times the weight decay", {"optimizer.weight_decay": 5e-4}),
    "rate_high": ("twice the learning rate", {"optimizer.base_lr": 0.1}),
    "rate_low": ("half the learning rate", {"optimizer.base_lr": 0.025}),
    "width": ("half the channels, not a quarter", {"model.width": 0.5}),
    "depth": ("ResNet-34", {"model.depth": 34}),
    "stride8": ("output stride 8", {"model.output_stride": 8}),
    "large": (
        "photos 1.4 times larger",
        {"crop": (225, 161), "scale": (0.28, 0.5), "eval_side": 336},
    ),
    "long": ("three times the epochs", {"epochs": 3 * EPOCHS}),
    "drawn": ("starts from a run on drawn people", {"init_from": DRAWN}),
}


def main() -> int:
    """Does the trials that are not done; the exit code of training when that was stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="of the runs and the table")
    parser.add_argument("--data_dir", default="data", help="where the datasets were built")
    parser.add_argument("--trials", default=",".join(TRIALS), help="default: all, %(default)s")
    arguments = parser.parse_args()
    folder, names = pathlib.Path(arguments.folder), arguments.trials.split(",")
    for name in names:
        if name not in TRIALS:
            raise InputError(f"--trials={name}: no such trial; known are {', '.join(TRIALS)}")
    for number, name in enumerate(names, 1):
        changed, fields = TRIALS[name]
        print(f"\ntrial {number} of {len(names)}: {name}, {changed}", flush=True)
        base = small("fashion_clothing")
        config = dataclasses.replace(base, data_dir=arguments.data_dir, epochs=EPOCHS)
        set_fields(config, fields)
        if config.init_from:
            config.init_from = str(folder / DRAWN)
            drawn = dataclasses.replace(small("synthetic"), data_dir=arguments.data_dir)
            if not train(drawn, folder / DRAWN):
                return TERMINATED
        if not train(config, folder / name):
            return TERMINATED
        score(folder / name, config)
        jax.clear_caches()  # every trial compiles programs of its own
        print(tabulate(folder))
    return 0


def tabulate(folder: pathlib.Path) -> str:
    """Writes trials.json and trials.md of the trials that are done; returns the text."""
    files = {name: folder / name / EVALUATION for name in TRIALS}
    done = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    lines = []
    for name, report in done.items():
        levels = report["levels"]
        if not lines:
            heads = ["trial", "change", *(level["name"] for level in levels)]
            lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        means = [f"{100 * level['mean_iou']:.2f}" for level in levels]
        lines.append(f"| {' | '.join([name, TRIALS[name][0], *means])} |")
    text = "\n".join(lines) + "\n"
    write_json(folder / "trials.json", done)
    write_bytes(folder / "trials.md", text.encode())
    return text


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"trials: {error}")
