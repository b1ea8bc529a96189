"""Anyone's own photos and labels, with a hierarchy of one's own.

```
RAW/images/**/ID.jpg or .png
RAW/labels/**/ID.png          8-bit grey or palette, pixel value = leaf id, 255 = does not count
RAW/{train,val,test}.txt      optional, one ID a line; else 10 %, held out at random, is val
```

A photo below a subfolder has the subfolder in its ID. Photos listed in test.txt may come without
labels, all of them or none.
"""

import pathlib
import re

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import png_source
from hparse_jax.data.raw.source import Layout, Sample, Source, find_list, find_root, pair, read_ids
from hparse_jax.hierarchy import Hierarchy

_SHARES = {"train": 0.9, "val": 0.1}
_LIST = re.compile(r"(train|val|test)(_id)?\.txt").fullmatch


def find(manual_dir: pathlib.Path, hierarchy: Hierarchy) -> Source:
    """The folder's samples. Raises InputError when images/ is not there."""
    files = Files(find_root(manual_dir, (), ("images",)))
    samples, shares, notes = listed_or_random(files)
    return png_source(
        files,
        hierarchy,
        samples,
        shares=shares,
        notes=notes,
        splits=() if shares else lists_of(files),
    )


def lists_of(files: Files) -> tuple[str, ...]:
    """The splits for training that have lists: no build may lose one of them."""
    return tuple(split for split in ("train", "val") if find_list(files, split))


def listed_or_random(files: Files) -> tuple[list[Sample], dict[str, float], dict[str, str]]:
    """(samples, shares of random splits, notes) of a folder of images/, labels/ and lists."""
    stray = sorted(p.name for p in files.root.glob("*.txt") if not p.is_file() or not _LIST(p.name))
    files.problems += [
        f"{files.root / name}: is no list of a split; name it train.txt, val.txt or test.txt, or "
        "move it elsewhere"
        for name in stray
    ]
    lists = {split: find_list(files, split) for split in ("train", "val", "test")}
    if not any(lists.values()):
        samples = pair(files, files.problems, "images", "labels")
        return samples, _SHARES, {"splits": "random with seed 0, 9 : 1"}
    samples = []
    for split, listed in lists.items():
        if listed is None:
            continue
        labels: str | None = "labels"
        if split == "test" and not _any_label(files, listed):
            labels = None
        samples += pair(files, files.problems, "images", labels, split, listed)
    notes = {"splits": "lists of the raw folder"}
    return samples, {}, notes


def _any_label(files: Files, listed: str) -> bool:
    stems = files.stems("labels", (".png",))
    return any(photo_id in stems for photo_id in read_ids(files, [], listed))


LAYOUT = Layout(find, "a folder with images/ and labels/ in it", own=True)
