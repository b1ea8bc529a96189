"""CIHP (Crowd Instance-level Human Parsing): several people a photo, LIP's ids but 10.

```
RAW/{Training,Validation}/{Images/ID.jpg, Category_ids/ID.png}, Testing/Images/ID.jpg (optional)

RAW/images/ID.jpg, RAW/labels/ID.png, RAW/{train,val}_id.txt (optional: else 10 % is val)
```
"""

import pathlib

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.folder import listed_or_random, lists_of
from hparse_jax.data.raw.labels import png_source
from hparse_jax.data.raw.source import Layout, Source, find_list, find_root, pair
from hparse_jax.hierarchy import get_hierarchy

_OFFICIAL = {"train": "Training", "val": "Validation", "test": "Testing"}


def find(manual_dir: pathlib.Path) -> Source:
    """CIHP's samples. Raises InputError when the folder is not there."""
    names = ("cihp", "CIHP", "instance-level_human_parsing")
    files = Files(find_root(manual_dir, names, ("Training", "images")))
    shares, notes = {}, {}
    if files.has_folder("Training"):
        samples = []
        for split, folder in _OFFICIAL.items():
            labels = f"{folder}/Category_ids" if split != "test" else None
            if split == "train" or files.has_folder(f"{folder}/Images"):
                listed = find_list(files, split, (folder,))
                images = f"{folder}/Images"
                samples += pair(files, files.problems, images, labels, split, listed)
    else:
        samples, shares, notes = listed_or_random(files)
    return png_source(
        files,
        get_hierarchy("cihp"),
        samples,
        shares=shares,
        notes=notes,
        splits=() if shares or files.has_folder("Training") else lists_of(files),
    )


LAYOUT = Layout(find, "CIHP's folder (Training/Images and Category_ids, or images/ and labels/)")
