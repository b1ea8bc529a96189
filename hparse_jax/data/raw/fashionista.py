"""Fashionista (Yamaguchi et al. 2012) in the 18 classes of Fashion Clothing.

```
fashionista_v0.2.1.mat    truths: for every photo image (JPEG) and annotation: superpixel_map (PNG,
                          superpixels from 1), superpixel_labels (from 1), labels (their names)
```

Label names are those of Clothing Co-Parsing. Ids are "fashionista_" and the number in the file,
from 1.
"""

import functools
import io
import pathlib

import numpy as np
import PIL.Image

from hparse_jax.data.raw.clothing_co_parsing import CLASS_OF
from hparse_jax.data.raw.labels import load_mat, to_classes
from hparse_jax.data.raw.source import Labels, Sample, Source
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy


def find(mat: pathlib.Path) -> Source:
    """Fashionista's samples, of no split. Raises InputError when the .mat file cannot be read."""
    ids = range(len(_truths(mat)))
    samples = [Sample(f"fashionista_{i + 1:03d}", str(i), str(i)) for i in ids]
    return Source(
        hierarchy=get_hierarchy("fashion_clothing"),
        samples=samples,
        read_image=functools.partial(_read_image, mat),
        read_labels=functools.partial(_read_labels, mat),
        place=functools.partial(_place, mat),
    )


def _place(mat: pathlib.Path, sample: Sample, name: str) -> str:
    return f"{mat}: truths({int(name) + 1})"


@functools.lru_cache(maxsize=2)
def _truths(mat: pathlib.Path) -> np.ndarray:
    truths = np.ravel(load_mat(mat.read_bytes(), "truths", str(mat), "Fashionista"))
    if not truths.dtype.names or not {"image", "annotation"} <= set(truths.dtype.names):
        raise InputError(f"{mat}: truths have no image and annotation; is this Fashionista's file?")
    return truths


def _read_image(mat: pathlib.Path, sample: Sample) -> bytes:
    return np.ravel(_truths(mat)[int(sample.image)]["image"]).astype(np.uint8).tobytes()


def _read_labels(mat: pathlib.Path, sample: Sample) -> Labels:
    where = _place(mat, sample, sample.label)
    try:
        annotation = np.ravel(_truths(mat)[int(sample.label)]["annotation"])[0]
        png = np.ravel(annotation["superpixel_map"]).astype(np.uint8).tobytes()
        with PIL.Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
            superpixels = np.asarray(picture).astype(np.int64) - 1
        label = np.ravel(annotation["superpixel_labels"]).astype(np.int64) - 1
        names = tuple(str(np.ravel(cell)[0]) for cell in np.ravel(annotation["labels"]))
    except Exception as error:  # scipy and Pillow answer broken data with errors of many types
        raise InputError(
            f"{where}: its annotation cannot be read ({type(error).__name__}: {error}); "
            "download the file again"
        ) from error
    if superpixels.ndim != 2 or superpixels.min() < 0 or superpixels.max() >= len(label):
        raise InputError(f"{where}: superpixels without labels; download the file again")
    return to_classes(label[superpixels], names, CLASS_OF, where)
