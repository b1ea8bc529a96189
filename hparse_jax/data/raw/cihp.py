"""CIHP (Crowd Instance-level Human Parsing): several people a photo, LIP's ids but 10.

```
RAW/{Training,Validation}/{Images/ID.jpg, Category_ids/ID.png}, Testing/Images/ID.jpg (optional)

RAW/images/ID.jpg, RAW/labels/ID.png, RAW/{train,val}_id.txt (optional: else 10 % is val)
```
"""

import pathlib

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.folder import images_and_labels
from hparse_jax.data.raw.labels import file_source
from hparse_jax.data.raw.source import Layout, Source, find_list, find_root, pair
from hparse_jax.hierarchy import get_hierarchy

_OFFICIAL = {"train": "Training", "val": "Validation", "test": "Testing"}


def find(manual_dir: pathlib.Path) -> Source:
    """CIHP's samples. Raises InputError when the folder is not there."""
    names = ("cihp", "CIHP", "instance-level_human_parsing")
    files = Files(find_root(manual_dir, names, ("Training", "images")))
    if not files.has_folder("Training"):
        return images_and_labels(files, get_hierarchy("cihp"))
    samples = []
    for split, folder in _OFFICIAL.items():
        images = f"{folder}/Images"
        labels = f"{folder}/Category_ids" if split != "test" else None
        if split == "train" or files.has_folder(images):
            samples += pair(files, images, labels, split, find_list(files, split, folder))
    return file_source(files, get_hierarchy("cihp"), samples)


LAYOUT = Layout(find, "CIHP's folder (Training/Images and Category_ids, or images/ and labels/)")
