"""CFPD (Colorful-Fashion Parsing Data; Liu et al. 2014) in the 18 classes of Fashion Clothing.

```
CFPD/fashon_parsing_data.mat     MATLAB 7.3 (HDF5): all_category_name, and for every photo in
                                 fashion_dataset img_name, segmentation (superpixels from 0) and
                                 category_label (for each superpixel a category from 1)
CFPD/**/IMG_NAME                 the photos, wherever they were unpacked below
```

Ids are "cfpd_" and the photo's name without suffix.
"""

import functools
import itertools
import os
import pathlib

import h5py
import numpy as np

from hparse_jax.data.raw.files import Files
from hparse_jax.data.raw.labels import class_table, file_source, to_classes
from hparse_jax.data.raw.source import PHOTOS, Labels, Sample, Source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

CLASS_OF = class_table("CFPD")


def find(mat: pathlib.Path) -> Source:
    """CFPD's samples, of no split. Raises InputError when the .mat file cannot be read."""
    files = Files(mat.parent)
    photos: dict[str, str] = {}
    for name in itertools.chain(*files.stems(".", PHOTOS).values()):
        first = photos.setdefault(os.path.basename(name), name)
        if first != name:
            files.note(f"{files.where(name)}: {first} has the same name; keep one")
    samples = []
    for index, name in enumerate(_names(mat)[0]):
        if name in photos:
            photo_id = f"cfpd_{os.path.splitext(name)[0]}"
            samples.append(Sample(photo_id, photos[name], str(index)))
        else:
            files.note(
                f"{mat}: has labels of {name}, but no such photo lies below {mat.parent}; "
                "unpack the photos there"
            )
    return file_source(
        files,
        get_hierarchy("fashion_clothing"),
        samples,
        read_labels=functools.partial(_read_labels, mat),
        place=functools.partial(_place, files, mat),
    )


def _place(files: Files, mat: pathlib.Path, sample: Sample, name: str) -> str:
    return files.where(name) if name == sample.image else f"{mat}: labels of {sample.image}"


def _text(dataset: h5py.Dataset) -> str:
    return "".join(map(chr, np.ravel(dataset[()])))


def _cells(file: h5py.File, name: str, mat: pathlib.Path) -> np.ndarray:
    return np.ravel(_field(file, name, str(mat))[()])


@functools.lru_cache(maxsize=2)
def _names(mat: pathlib.Path) -> tuple[list[str], tuple[str, ...]]:
    """The names of the photos, and those of the categories."""
    try:
        with h5py.File(mat) as file:
            photos = [
                _text(_field(file[cell], "img_name", f"{mat}: photo {i + 1}"))
                for i, cell in enumerate(_cells(file, "fashion_dataset", mat))
            ]
            categories = _cells(file, "all_category_name", mat)
            return photos, tuple(_text(file[cell]) for cell in categories)
    except OSError as error:
        raise InputError(f"{mat}: not a whole HDF5 file ({error}); download it again") from error


def _field(entry: h5py.Group, name: str, where: str) -> h5py.Dataset:
    if name not in entry:
        raise InputError(f"{where}: holds no {name}; is this CFPD's file?")
    return entry[name]


def _read_labels(mat: pathlib.Path, sample: Sample) -> Labels:
    where = f"{mat}: labels of {sample.image}"
    try:
        with h5py.File(mat) as file:
            entry = file[_cells(file, "fashion_dataset", mat)[int(sample.label)]]
            # MATLAB's arrays lie transposed in HDF5
            superpixels = _field(entry, "segmentation", where)[()].T.astype(np.int64)
            category = np.ravel(_field(entry, "category_label", where)[()]).astype(np.int64) - 1
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error}); download the file again") from error
    if superpixels.min() < 0 or superpixels.max() >= len(category):
        raise InputError(
            f"{where}: superpixels {superpixels.min()}..{superpixels.max()}, but "
            f"{len(category)} categories; download the file again"
        )
    return to_classes(category[superpixels], _names(mat)[1], CLASS_OF, where)
