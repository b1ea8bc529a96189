"""ATR (Liang et al. 2015): RAW/humanparsing/{JPEGImages/ID.jpg, SegmentationClassAug/ID.png}.

Splits are by {train,val,test}_id.txt in RAW, humanparsing/ or list/, any of the three; none is
shipped (docs/datasets.md names public ones). Without lists they are random with a fixed seed,
6,000 : 700 : 1,000 as in CNIF, and every family of photos (the part of the id before "_") gives its
share to each. ATR's 7,703 photos are the families fash, Multi, 997, 2500 and 4565; the 10,003 of
dataset10k (Chictopia), which come in the same folder, are left out unless they are asked for.
Scores on random splits are not comparable with published ones.
"""

import pathlib

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import file_source
from hparse_jax.data.raw.source import PHOTOS, Layout, Source, find_lists, find_root, pair
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

SHARES = {"train": 6000 / 7700, "val": 700 / 7700, "test": 1000 / 7700}
_IMAGES, _LABELS = "JPEGImages", "SegmentationClassAug"


def find(manual_dir: pathlib.Path, chictopia: bool = False) -> Source:
    """ATR's samples. chictopia: those of dataset10k take part in random splits, too.

    Raises InputError when the folder is not there.
    """
    names = ("humanparsing", "ATR/humanparsing", "atr/humanparsing", "ATR", "atr")
    files = Files(find_root(manual_dir, names, (_LABELS,)))
    lists = find_lists(files)
    if lists and chictopia:
        raise InputError(f"chictopia: the lists in {files.root} decide which photos; leave it out")
    samples, notes = [], {"splits": "lists of the raw folder"}
    for split, listed in lists.items():
        samples += pair(files, _IMAGES, _LABELS, split, listed)
    if not lists:
        ids = () if chictopia else files.stems(_IMAGES, PHOTOS)
        without = [i for i in ids if i.startswith("dataset10k_")]
        samples = pair(
            files, _IMAGES, _LABELS, family=lambda i: i.rpartition("_")[0], without=without
        )
        notes["splits"] = "random with seed 0, 6000 : 700 : 1000 in every family of ids"
        notes["chictopia_left_out"] = len(without)
    return file_source(
        files, get_hierarchy("atr"), samples, shares=SHARES, notes=notes, splits=tuple(lists)
    )


LAYOUT = Layout(
    find,
    "ATR's folder (humanparsing/JPEGImages, humanparsing/SegmentationClassAug)",
    chictopia=True,
)
