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

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import class_table, file_source, load_mat, to_classes
from hparse_jax.data.raw.source import PHOTOS, Labels, Sample, Source, pair
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

_DATASET = "Clothing Co-Parsing"
_LABELS, _TAGS = "annotations/pixel-level", "annotations/image-level"

# Labels that are not here (bodysuit, cape, gloves, romper, tights, ...) have no counterpart.
CLASS_OF = class_table(_DATASET)


def find(files: Files, listed: dict[str, str]) -> Source:
    """CCP's samples. listed: split -> its list; empty: all photos with pixel labels, of no split.

    Raises InputError when label_list.mat cannot be read.
    """
    where = files.where("label_list.mat")
    if not files.has("label_list.mat"):
        raise InputError(f"{where}: missing; unpack {_DATASET} again")
    cells = load_mat(files.read("label_list.mat"), "label_list", where, _DATASET).flat
    names = tuple(str(np.ravel(cell)[0]) for cell in cells)
    tags_only = set(files.stems(_TAGS, (".mat",))) - set(files.stems(_LABELS, (".mat",)))
    samples = []
    for split, name in (listed or {None: None}).items():
        samples += pair(files, "photos", _LABELS, split, name, ".mat", without=tags_only)
    return file_source(
        files,
        get_hierarchy("fashion_clothing"),
        samples,
        read_labels=functools.partial(_read_labels, files, names),
        notes={"tags_only": len(tags_only & set(files.stems("photos", PHOTOS)))},
    )


def _read_labels(files: Files, names: tuple[str, ...], sample: Sample) -> Labels:
    where = files.where(sample.label)
    labels = load_mat(files.read(sample.label), "groundtruth", where, _DATASET)
    return to_classes(labels, names, CLASS_OF, where)
