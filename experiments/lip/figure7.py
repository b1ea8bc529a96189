"""LIP Figure 7: true and predicted joints over photos of a built split.

    python experiments/lip/figure7.py --workdir=runs/attention --output=figure7.jpg --photos=8

Each pair: the joints of the ground truth, and those of the prediction. A joint is the centre of its
region, taken on every 4th pixel here.
"""

import argparse
import pathlib

import numpy as np

from hparse_jax.data.stream import decode, open_split
from hparse_jax.joints import joint_centres
from hparse_jax.parsing.parser import load_parser
from hparse_jax.render import contact_sheet, draw_joints, picture_jpeg


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--split")
    parser.add_argument("--data_dir")
    parser.add_argument("--photos", type=int, default=8)
    arguments = parser.parse_args()
    network = load_parser(arguments.workdir)
    config = network.config
    if arguments.data_dir:
        config.data_dir = arguments.data_dir
    records = open_split(config, arguments.split or config.val_split)
    cells = []
    for index in range(min(arguments.photos, len(records))):
        _, image, truth = decode(records[index], network.hierarchy)
        for labels in (truth, network(image).labels):
            centres, present = joint_centres(labels[None, ::4, ::4], network.hierarchy)
            joints = network.hierarchy.joints
            cells.append(
                draw_joints(image, 4 * np.asarray(centres[0]), np.asarray(present[0]), joints)
            )
    rows = [cells[i : i + 4] for i in range(0, len(cells), 4)]
    path = pathlib.Path(arguments.output)
    path.write_bytes(picture_jpeg(contact_sheet(rows, height=320)))
    print(f"drawn: {path} (two photos a row: true joints, predicted joints)")


if __name__ == "__main__":
    main()
