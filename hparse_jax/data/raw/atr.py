"""ATR (Liang et al. 2015): RAW/humanparsing/{JPEGImages/ID.jpg, SegmentationClassAug/ID.png}.

No lists are shipped. Without {train,val,test}_id.txt in RAW, humanparsing/ or list/ the splits are
random with a fixed seed, 6,000 : 700 : 1,000 as in CNIF, and every family of photos (dataset10k,
fash, Multi, 997, 2500, 4565: the part of the id before "_") gives its share to each. CNIF's own
lists are not public, so scores on random splits are not comparable with published ones.
"""

import pathlib

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import file_source
from hparse_jax.data.raw.source import Layout, Source, find_lists, find_root, pair
from hparse_jax.hierarchy import get_hierarchy

SHARES = {"train": 6000 / 7700, "val": 700 / 7700, "test": 1000 / 7700}
_IMAGES, _LABELS = "JPEGImages", "SegmentationClassAug"


def find(manual_dir: pathlib.Path) -> Source:
    """ATR's samples. Raises InputError when the folder is not there."""
    names = ("humanparsing", "ATR/humanparsing", "atr/humanparsing", "ATR", "atr")
    files = Files(find_root(manual_dir, names, (_LABELS,)))
    lists = find_lists(files)
    samples = []
    for split, listed in lists.items():
        samples += pair(files, _IMAGES, _LABELS, split, listed)
    note = "lists of the raw folder"
    if not lists:
        samples = pair(files, _IMAGES, _LABELS, family=lambda i: i.rpartition("_")[0])
        note = "random with seed 0, 6000 : 700 : 1000 in every family of ids"
    return file_source(
        files,
        get_hierarchy("atr"),
        samples,
        shares=SHARES,
        notes={"splits": note},
        splits=tuple(lists),
    )


LAYOUT = Layout(find, "ATR's folder (humanparsing/JPEGImages, humanparsing/SegmentationClassAug)")
