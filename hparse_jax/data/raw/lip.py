"""LIP (Look into Person), in the layout of its archives, unpacked or not, or in the short one.

```
RAW/TrainVal_images/{train_images,val_images}/ID.jpg, {train_id,val_id}.txt
RAW/TrainVal_parsing_annotations/{train_segmentations,val_segmentations}/ID.png
RAW/Testing_images/testing_images/ID.jpg, test_id.txt        optional: no labels are published
RAW/{TrainVal_images,TrainVal_parsing_annotations,Testing_images}.zip  instead of the folders

RAW/{train,val,test}_images/ID.jpg, RAW/{train,val}_segmentations/ID.png
RAW/{train,val,test}_id.txt
```
"""

import pathlib

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import file_source
from hparse_jax.data.raw.source import Layout, Source, find_list, find_root, pair
from hparse_jax.hierarchy import get_hierarchy

_IMAGES, _LABELS, _TEST = "TrainVal_images", "TrainVal_parsing_annotations", "Testing_images"
# split -> (photos, labels, folder of its list)
_OFFICIAL = {
    "train": (f"{_IMAGES}/train_images", f"{_LABELS}/train_segmentations", _IMAGES),
    "val": (f"{_IMAGES}/val_images", f"{_LABELS}/val_segmentations", _IMAGES),
    "test": (f"{_TEST}/testing_images", None, _TEST),
}
_SHORT = {
    split: (f"{split}_images", None if split == "test" else f"{split}_segmentations", ".")
    for split in _OFFICIAL
}


def find(manual_dir: pathlib.Path) -> Source:
    """LIP's samples. Raises InputError when the folder is not there."""
    root = find_root(
        manual_dir, ("lip", "LIP"), (_IMAGES, f"{_IMAGES}.zip", "train_images", "val_images")
    )
    files = Files(root, (_IMAGES, _LABELS, _TEST))
    official = files.has_folder(_IMAGES) or files.has(f"{_IMAGES}.zip")
    samples, splits = [], []
    for split, (images, labels, folder) in (_OFFICIAL if official else _SHORT).items():
        if split == "train" or files.has_folder(images):  # the others are optional
            samples += pair(files, images, labels, split, find_list(files, split, folder))
            splits.append(split)
    return file_source(
        files,
        get_hierarchy("lip"),
        samples,
        splits=tuple(splits),
        notes={"splits": "lists of the raw folder, or all photos of a split's folder"},
    )


LAYOUT = Layout(
    find, "LIP's folder (TrainVal_images/, TrainVal_parsing_annotations/ or their .zip files)"
)
