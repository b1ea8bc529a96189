"""LIP Figure 3: how many photos hold each class.

python experiments/lip/figure3.py data/lip/1.0.0/metadata.json figure3.jpg
"""

import collections
import json
import pathlib
import sys

from beside import bar_chart

if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    metadata = json.loads(pathlib.Path(sys.argv[1]).read_text())
    photos = collections.Counter()
    for counts in metadata["photos_with"].values():
        photos.update(counts)
    del photos["background"], photos["255 (does not count)"]
    for name, count in photos.most_common():
        print(f"{name:16}{count:8}")
    bars = {name: [float(count)] for name, count in photos.most_common()}
    bar_chart("photos that hold each class", bars, pathlib.Path(sys.argv[2]))
