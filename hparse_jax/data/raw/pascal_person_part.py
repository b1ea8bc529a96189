"""PASCAL-Person-Part: the merged label pictures, or the raw annotations of PASCAL-Part.

```
RAW/JPEGImages/ID.jpg
RAW/SegmentationPart/ID.png      palette PNG, value = class; or
RAW/Annotations_Part/ID.mat      PASCAL-Part: 24 parts of a person, merged into 6 as below
RAW/list/{train_id,val_id}.txt
```
"""

import functools
import pathlib

import numpy as np

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import class_table, file_source, load_mat
from hparse_jax.data.raw.source import Labels, Layout, Sample, Source, find_lists, find_root, pair
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

_IMAGES, _MERGED, _RAW = "JPEGImages", "SegmentationPart", "Annotations_Part"

CLASS_OF = class_table("PASCAL-Part")  # l and r are the person's left and right


def find(manual_dir: pathlib.Path) -> Source:
    """The samples of both splits. Raises InputError when the folder or a list is not there."""
    names = ("pascal-person-part", "pascal_person_part", "PASCAL-Person-Part")
    files = Files(find_root(manual_dir, names, (_MERGED, _RAW)))
    merged = files.has_folder(_MERGED)
    labels, suffix = (_MERGED, ".png") if merged else (_RAW, ".mat")
    splits = ("train", "val")
    lists = find_lists(files, splits)
    samples = []
    for split in splits:
        if split in lists:
            samples += pair(files, _IMAGES, labels, split, lists[split], suffix)
        else:
            files.note(
                f"{files.root / 'list' / f'{split}_id.txt'}: missing; PASCAL-Person-Part's lists "
                "name the photos of each split"
            )
    notes = {
        "splits": "lists of the raw folder",
        "labels": "merged pictures" if merged else "merged from PASCAL-Part",
    }
    fields = {} if merged else {"read_labels": functools.partial(read_parts, files)}
    hierarchy = get_hierarchy("pascal_person_part")
    return file_source(files, hierarchy, samples, splits=splits, notes=notes, **fields)


def read_parts(files: Files, sample: Sample) -> Labels:
    """The merged parts of every person of a PASCAL-Part annotation. Raises InputError."""
    where = files.where(sample.label)
    annotation = load_mat(files.read(sample.label), "anno", where, "PASCAL-Part")
    ids = None
    classes = get_hierarchy("pascal_person_part").levels[0].nodes
    try:
        for thing in annotation[0, 0]["objects"].ravel():
            if ids is None:
                ids = np.zeros(thing["mask"].shape, np.uint8)
            if str(thing["class"][0]) != "person" or not thing["parts"].size:
                continue
            for part in thing["parts"].ravel():
                ids[part["mask"] > 0] = classes.index(CLASS_OF[str(part["part_name"][0])])
    except KeyError as error:
        raise InputError(
            f"{where}: {error} is no part of a person; is this PASCAL-Part's file?"
        ) from error
    except Exception as error:  # MATLAB's arrays can hold anything
        raise InputError(
            f"{where}: its anno is not as in PASCAL-Part ({type(error).__name__}: {error}); "
            "get the file again"
        ) from error
    if ids is None:
        raise InputError(f"{where}: annotates no object; remove it from the list")
    return Labels(ids)


LAYOUT = Layout(
    find,
    "PASCAL-Person-Part's folder (JPEGImages/, SegmentationPart/ or Annotations_Part/, list/)",
)
