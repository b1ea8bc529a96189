"""The whole job on synthetic people, on a CPU, in minutes: build, train, score, parse, look.

    make demo
    make demo PHOTOS=folder

With PHOTOS, a photo or a folder of them, these are first parsed by the parser that comes with the
package. Everything lies under demo/. Started again, it resumes where it stopped. Each step is shown
as the command that does the same; here they share one process, which saves their start.
"""

import pathlib
import runpy
import sys
import time

import numpy as np
from runs import set_fields  # beside this script

from hparse_jax.commands.build import build_and_print
from hparse_jax.commands.evaluate import table
from hparse_jax.commands.predict import predict
from hparse_jax.commands.train import TERMINATED
from hparse_jax.config import Config
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.data.synthetic.people import draw
from hparse_jax.errors import InputError
from hparse_jax.inference.evaluate import evaluate_split
from hparse_jax.inference.outputs import Outputs
from hparse_jax.inference.predictor import load_parser
from hparse_jax.render import contact_sheet, overlay, picture_jpeg
from hparse_jax.storage import write_bytes, write_json
from hparse_jax.training.train import train
from hparse_jax.workdir import SHIPPED

FOLDER = pathlib.Path("demo")
DATA, RUN, PHOTOS, PARSED = (FOLDER / name for name in ("data", "run", "photos", "parsed"))
YOURS = FOLDER / "your_photos"
PEOPLE = 8
VALIDATION_SEED = 1  # of the people in the validation split

# Small enough for two cores: a ResNet-18 with a quarter of the channels, people at 0.65 to 0.95 of
# their size. Weights of the levels: the body is learned soonest, the halves are the slowest.
OVERRIDES = {
    "data_dir": str(DATA),
    "model.depth": 18,
    "model.width": 0.25,
    "model.stem": "conv7",
    "model.output_stride": 8,
    "crop": (129, 97),
    "scale": (0.65, 0.95),
    "eval_scales": (0.85, 1.15),
    "batch_size": 8,
    "steps": 1200,
    "log_every": 50,
    "eval_every": 0,
    "checkpoint_every": 300,
    "loss.level_weights": (1.0, 2.5, 0.5),
    "optimizer.base_lr": 0.06,
    "optimizer.warmup_steps": 100,
    "optimizer.weight_decay": 1e-4,
}


def main() -> int:
    """Runs the demo; the exit code of training when that was stopped, else 0."""
    begin = time.perf_counter()
    if sys.argv[1:]:
        show("predict", f"--output={YOURS}", *sys.argv[1:])
        if code := predict(load_parser(SHIPPED), sys.argv[1:], YOURS):
            return code

    show("build synthetic", f"--data_dir={DATA}")
    build_and_print("synthetic", DATA)

    show("train --config=configs/synthetic.py", f"--workdir={RUN}", *map(as_flag, OVERRIDES))
    if not train(configured(), RUN):
        return TERMINATED

    show("evaluate", f"--workdir={RUN}", "--flip")
    parser = load_parser(RUN, flip=True, side=0)
    config, dataset = parser.config, BuiltDataset("synthetic", DATA)
    batch = config.eval_batch_size
    report = evaluate_split(
        parser, dataset, config.val_split, parser.hierarchy, batch_size=batch, progress=True
    )
    write_json(FOLDER / "scores.json", report)
    print(table(report))

    people = [draw(VALIDATION_SEED, index) for index in range(PEOPLE)]
    for index, (image, _) in enumerate(people):
        write_bytes(PHOTOS / f"person{index}.jpg", picture_jpeg(image))
    show("predict", f"--workdir={RUN}", f"--output={PARSED}", "--levels --flip", str(PHOTOS))
    # in batches of the evaluation, whose compiled programs then serve again
    outputs = Outputs(parser.hierarchy, levels=True)
    code = predict(parser, [str(PHOTOS)], PARSED, outputs, batch_size=batch)

    write_bytes(FOLDER / "people.jpg", picture_jpeg(sheet(people, parser, batch)))
    means = " / ".join(f"{level['mean_iou']:.3f}" for level in report["levels"])
    seconds = time.perf_counter() - begin
    print(f"\nmean IoU {means} for parts / halves / body, {seconds:.0f} s total")
    print(f"look at {FOLDER / 'people.jpg'} (photo, ground truth, three levels) and {PARSED}/")
    return code


def show(*words: str) -> None:
    print("\n$ hparse", *words, flush=True)


def as_flag(field: str) -> str:
    value = OVERRIDES[field]
    return f"--config.{field}={','.join(map(str, value)) if isinstance(value, tuple) else value}"


def configured() -> Config:
    """configs/synthetic.py with the overrides."""
    return set_fields(runpy.run_path("configs/synthetic.py")["get_config"](), OVERRIDES)


def sheet(people, parser, batch_size: int) -> np.ndarray:
    """Two people a row: photo, ground truth, and the predicted parts, halves and body."""
    cells = []
    images = ((index, image) for index, (image, _) in enumerate(people))
    results = dict(parser.stream(images, batch_size))
    for index, (image, truth) in enumerate(people):
        levels = enumerate(results[index].levels)
        maps = [(truth, 0), *((labels, level) for level, labels in levels)]
        pictures = [overlay(image, x, parser.hierarchy.palette_at(level)) for x, level in maps]
        cells.append([image, *pictures])
    pairs = zip(cells[::2], cells[1::2], strict=True)
    return contact_sheet([left + right for left, right in pairs], height=200)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"demo: {error}; `rm -r {FOLDER}` starts over")
