"""LIP Figure 3: how many photos hold each class. The paper shows it as a picture without numbers.

python experiments/lip/figure3.py data/lip/1.0.0/metadata.json figure3.jpg
"""

import collections
import json
import pathlib
import sys

from beside import draw

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    _, file, chart = sys.argv
    photos = collections.Counter()
    try:
        for counts in json.loads(pathlib.Path(file).read_text())["photos_with"].values():
            photos.update(counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"{file}: give the metadata.json of a built dataset ({error})")
    del photos["background"], photos["255 (does not count)"]
    for name, count in photos.most_common():
        print(f"{name:16}{count:8}")
    bars = {name: [float(count)] for name, count in photos.most_common()}
    draw("photos that hold each class", bars, chart, ".0f")
