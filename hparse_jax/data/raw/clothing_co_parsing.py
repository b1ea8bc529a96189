"""Clothing Co-Parsing (CCP; Yang, Luo and Lin 2014) in the 18 classes of Fashion Clothing.

```
CCP/photos/NNNN.jpg
CCP/annotations/pixel-level/NNNN.mat    groundtruth: [h, w], indices into label_list
CCP/annotations/image-level/NNNN.mat    photos with tags only: no pixel labels, left out
CCP/label_list.mat                      label_list: the names of the labels
```
"""

import functools

import numpy as np

from hparse_jax.data.raw import matlab
from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.source import PHOTOS, Labels, LeftOut, Sample, Source, file_source, pair
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

_DATASET = "Clothing Co-Parsing"
_LABELS, _TAGS = "annotations/pixel-level", "annotations/image-level"

# CCP label -> class. The CCP labels that are not here (bodysuit, cape, gloves, romper, tights, ...)
# have no counterpart among the 18 classes.
CLASS_OF = {
    "null": "background",
    "accessories": "accessories",
    "bag": "bag",
    "belt": "belt",
    "blazer": "upper-clothes",
    "blouse": "shirt",
    "boots": "shoes",
    "bra": "vest",
    "bracelet": "accessories",
    "cardigan": "upper-clothes",
    "coat": "coat",
    "dress": "dress",
    "earrings": "accessories",
    "flats": "shoes",
    "glasses": "glasses",
    "hair": "hair",
    "hat": "hat",
    "heels": "shoes",
    "hoodie": "upper-clothes",
    "jacket": "coat",
    "jeans": "pants",
    "jumper": "upper-clothes",
    "leggings": "pants",
    "loafers": "shoes",
    "necklace": "accessories",
    "pants": "pants",
    "pumps": "shoes",
    "purse": "bag",
    "ring": "accessories",
    "sandals": "shoes",
    "scarf": "scarf",
    "shirt": "shirt",
    "shoes": "shoes",
    "shorts": "pants",
    "skin": "skin",
    "skirt": "skirt",
    "sneakers": "shoes",
    "socks": "socks",
    "stockings": "socks",
    "suit": "coat",
    "sunglasses": "glasses",
    "sweater": "upper-clothes",
    "sweatshirt": "upper-clothes",
    "t-shirt": "shirt",
    "tie": "upper-clothes",
    "top": "upper-clothes",
    "vest": "vest",
    "wallet": "bag",
    "watch": "accessories",
    "wedges": "shoes",
}


def find(files: Files, listed: dict[str, str]) -> Source:
    """CCP's samples. listed: split -> its list; empty: all photos with pixel labels, of no split.

    Raises InputError when label_list.mat cannot be read.
    """
    if not files.has("label_list.mat"):
        raise InputError(f"{files.where('label_list.mat')}: missing; unpack {_DATASET} again")
    names = [
        str(np.ravel(cell)[0])
        for cell in matlab.load(
            files.read("label_list.mat"), "label_list", files.where("label_list.mat"), _DATASET
        ).flat
    ]
    tags_only = set(files.stems(_TAGS, (".mat",))) - set(files.stems(_LABELS, (".mat",)))
    samples = []
    for split, name in (listed or {None: None}).items():
        samples += pair(
            files, files.problems, "photos", _LABELS, split, name, (".mat",), without=tags_only
        )
    tagged = len(tags_only & set(files.stems("photos", PHOTOS)))
    return file_source(
        files,
        hierarchy=get_hierarchy("fashion_clothing"),
        samples=samples,
        read_labels=functools.partial(_read_labels, files, tuple(names)),
        notes={"tags_only": tagged},
    )


def class_table(names: tuple[str, ...], class_of: dict[str, str]) -> np.ndarray:
    """uint8: label id -> leaf id of Fashion Clothing; 255 for labels without a class."""
    classes = get_hierarchy("fashion_clothing").levels[0].nodes
    ids = [classes.index(class_of[name]) if name in class_of else 255 for name in names]
    return np.array(ids, np.uint8)


def to_classes(
    labels: np.ndarray, names: tuple[str, ...], class_of: dict[str, str], where: str
) -> Labels:
    """Label ids into `names` -> leaf ids. Raises InputError, and LeftOut for unmapped labels."""
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        kind = f"{labels.dtype} {list(labels.shape)}"
        raise InputError(f"{where}: labels are {kind}; they must be integers [h, w]")
    present = np.unique(labels)
    wrong = present[(present < 0) | (present >= len(names))]
    if wrong.size:
        raise InputError(
            f"{where}: label id {wrong[0]} is not in its list of labels (0..{len(names) - 1}); "
            "correct the label or the list"
        )
    without_class = tuple(names[i] for i in present if names[i] not in class_of)
    if without_class:
        raise LeftOut(*without_class)
    return Labels(class_table(names, class_of)[labels])


def _read_labels(files: Files, names: tuple[str, ...], sample: Sample) -> Labels:
    where = files.where(sample.label)
    labels = matlab.load(files.read(sample.label), "groundtruth", where, _DATASET)
    return to_classes(labels, names, CLASS_OF, where)
