"""LIP Figure 7: true and predicted joints over photos of a built split.

    python experiments/lip/figure7.py --workdir=runs/attention --output=figure7.jpg --photos=8

Each pair: the joints of the ground truth, and those of the prediction. A joint is the centre of its
region, taken on every 4th pixel here.
"""

import argparse
import pathlib
import sys

import numpy as np

from hparse_jax.data.stream import decode, open_split
from hparse_jax.errors import InputError
from hparse_jax.inference.predictor import load_parser
from hparse_jax.joints import joint_centres, require_joints
from hparse_jax.render import contact_sheet, draw_joints, picture_jpeg

_EVERY = 4  # pixels from one point to the next on which joints are taken


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--split")
    parser.add_argument("--data_dir")
    parser.add_argument("--photos", type=int, default=8)
    arguments = parser.parse_args()
    network = load_parser(arguments.workdir)
    hierarchy, config = network.hierarchy, network.config
    require_joints(hierarchy)
    config.data_dir = arguments.data_dir or config.data_dir
    records = open_split(config, arguments.split or config.val_split)
    cells = []
    for index in range(min(max(1, arguments.photos), len(records))):
        _, image, truth = decode(records[index], hierarchy)
        for labels in (truth, network(image).labels):
            centres, present = joint_centres(labels[None, ::_EVERY, ::_EVERY], hierarchy)
            centres, present = _EVERY * np.asarray(centres[0]), np.asarray(present[0])
            cells.append(draw_joints(image, centres, present, hierarchy.joints))
    rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
    path = pathlib.Path(arguments.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture_jpeg(contact_sheet(rows, height=320)))
    print(f"drawn: {path} (two photos a row: true joints, predicted joints)")


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"figure7: {error}")
