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


def find(manual_dir: pathlib.Path) -> Source:
    """LIP's samples. Raises InputError when the folder is not there."""
    root = find_root(
        manual_dir, ("lip", "LIP"), (_IMAGES, f"{_IMAGES}.zip", "train_images", "val_images")
    )
    files = Files(root, (_IMAGES, _LABELS, _TEST))
    official = files.has_folder(_IMAGES) or files.has(f"{_IMAGES}.zip")
    samples, splits = [], []
    for split in ("train", "val", "test"):
        if not official:
            images, labels, folder = f"{split}_images", f"{split}_segmentations", "."
        elif split == "test":
            images, labels, folder = f"{_TEST}/testing_images", None, _TEST
        else:
            images, labels = f"{_IMAGES}/{split}_images", f"{_LABELS}/{split}_segmentations"
            folder = _IMAGES
        if split != "train" and not files.has_folder(images):
            continue  # LIP can be built without its validation or test photos
        listed = find_list(files, split, folder)
        splits.append(split)
        samples += pair(files, images, None if split == "test" else labels, split, listed)
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
