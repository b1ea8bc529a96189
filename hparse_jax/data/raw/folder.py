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
from hparse_jax.data.raw.labels import file_source
from hparse_jax.data.raw.source import Layout, Source, find_lists, find_root, pair, read_ids
from hparse_jax.hierarchy import Hierarchy, get_hierarchy

_SHARES = {"train": 0.9, "val": 0.1}
_LIST = re.compile(r"(train|val|test)(_id)?\.txt").fullmatch


def find(manual_dir: pathlib.Path, hierarchy: str) -> Source:
    """The folder's samples. Raises InputError when images/ or the hierarchy is not there."""
    root = find_root(manual_dir, (), ("images",))
    return images_and_labels(Files(root), get_hierarchy(hierarchy))


def images_and_labels(files: Files, hierarchy: Hierarchy) -> Source:
    """The source of a folder of images/, labels/ and perhaps lists."""
    for path in sorted(files.root.glob("*.txt")):
        if not path.is_file() or not _LIST(path.name):
            files.note(
                f"{path}: is no list of a split; name it train.txt, val.txt or test.txt, or move "
                "it elsewhere"
            )
    lists = find_lists(files)
    if not lists:
        samples = pair(files, "images", "labels")
        notes = {"splits": "random with seed 0, 9 : 1"}
        return file_source(files, hierarchy, samples, shares=_SHARES, notes=notes)
    labelled = files.stems("labels", (".png",))
    samples = []
    for split, listed in lists.items():
        bare = split == "test" and labelled.keys().isdisjoint(read_ids(files, listed))
        samples += pair(files, "images", None if bare else "labels", split, listed)
    return file_source(
        files,
        hierarchy,
        samples,
        notes={"splits": "lists of the raw folder"},
        splits=tuple(split for split in lists if split != "test"),  # no build may lose these
    )


LAYOUT = Layout(find, "a folder with images/ and labels/ in it", own=True)
