"""How much of a photo's label map depends on the bucket around it?

    python experiments/padding.py --workdir=RUN [--split=val] [--photos=100]

Parses photos of a run's dataset twice at one scale: in their own bucket, and in the one that is
larger by one rung along both sides. Prints for every level the share of pixels whose label differs.
CNIF's layers leave out the padding, so that none should; those of LIP's baselines do not.
"""

import argparse
import itertools

import numpy as np

from hparse_jax.checkpoint import load_run
from hparse_jax.data.buckets import Batch, bucket_size
from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.inference.multiscale import MultiScalePredictor
from hparse_jax.models import build_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a trained run")
    parser.add_argument("--split", default="val", help="of the run's dataset")
    parser.add_argument("--photos", type=int, default=100, help="how many, from the first one")
    parser.add_argument("--scale", type=float, default=1.0, help="at which the photos are shown")
    arguments = parser.parse_args()

    run = load_run(arguments.workdir)
    model = build_model(run.config.model, run.hierarchy)
    predictor = MultiScalePredictor(
        model, run.variables, run.config, run.hierarchy, (arguments.scale,)
    )
    dataset = BuiltDataset(run.config.dataset, run.config.data_dir)
    photos = dataset.photos(arguments.split, run.hierarchy)
    differ, pixels, filled = np.zeros(len(run.hierarchy.levels)), 0, []
    for _, image, _ in itertools.islice(photos, arguments.photos):
        height, width = image.shape[:2]
        own = bucket_size(height, width)
        larger = bucket_size(own[0] + 1, own[1] + 1)
        maps = [
            [labels[0, :height, :width] for labels in map(np.asarray, parse(predictor, image, b))]
            for b in (own, larger)
        ]
        differ += [np.count_nonzero(a != b) for a, b in zip(*maps, strict=True)]
        pixels += height * width
        filled.append((height * width / np.prod(own), height * width / np.prod(larger)))
    own, larger = np.mean(filled, 0)
    print(f"{len(filled)} photos; they fill {own:.0%} of their bucket, {larger:.0%} of the larger")
    for level, count in zip(run.hierarchy.levels, differ, strict=True):
        print(f"{level.name}: {count / pixels:.3%} of the pixels differ")


def parse(predictor: MultiScalePredictor, image: np.ndarray, bucket: tuple[int, int]) -> tuple:
    """The label maps of one photo in this bucket."""
    size = np.array([image.shape[:2]], np.int32)
    images = np.zeros((1, *bucket, 3), np.uint8)
    images[0, : size[0, 0], : size[0, 1]] = image
    return predictor(Batch(images, size, size, bucket, [0])).labels


if __name__ == "__main__":
    main()
