"""Fashion Clothing from Clothing Co-Parsing (CCP), in its own layout, as ArrayRecord.

```
RAW/photos/NNNN.jpg
RAW/annotations/pixel-level/NNNN.mat    groundtruth: [h, w], indices into label_list
RAW/annotations/image-level/NNNN.mat    photos with tags only: no pixel labels, left out
RAW/label_list.mat                      label_list: the names of the labels
RAW/splits/{train,val}.txt              optional: one NNNN a line
```

Without the two lists every tenth photo, drawn with a fixed seed, is for validation. The classes are
the 18 of CNIF (hierarchy `fashion_clothing`); photos that hold a label without a class are left out
and counted. A record is {"id", "image": the JPEG bytes as they are, "label": PNG, value = leaf id}.
"""

import collections
import dataclasses
import pathlib
import sys

import numpy as np
import PIL.Image
import scipy.io
import tensorflow_datasets as tfds
import tqdm

from hparse_jax.data.builders.record import features, record
from hparse_jax.errors import InputError
from hparse_jax.hierarchy import get_hierarchy

RAW_NAME = "clothing-co-parsing"

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


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a raw folder holds.

    class_ids: label id -> leaf id. splits: split name -> photo ids. dropped: photos left out for
    labels without a class; unmapped: how many photos hold each such label. tags_only: photos that
    CCP has no pixel labels for.
    """

    raw: pathlib.Path
    class_ids: np.ndarray
    splits: dict[str, list[str]]
    dropped: int
    unmapped: dict[str, int]
    tags_only: int


class FashionClothing(tfds.core.GeneratorBasedBuilder):
    """TFDS builder; `hparse build fashion_clothing` runs it."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"the folder {RAW_NAME} (photos/, annotations/, label_list.mat) or its parent"
    )

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Clothing Co-Parsing in the 18 classes of Fashion Clothing.",
            features=features(),
            metadata=tfds.core.MetadataDict(hierarchy="fashion_clothing"),
        )

    def _split_generators(self, dl_manager):
        found = scan(find_raw(pathlib.Path(dl_manager.manual_dir)))
        self.info.metadata.update(
            left_out=found.dropped, left_out_labels=found.unmapped, tags_only=found.tags_only
        )
        return {name: self._generate_examples(found, ids) for name, ids in found.splits.items()}

    def _generate_examples(self, found: Scan, ids: list[str]):
        for photo_id in ids:
            labels = found.class_ids[_read_labels(found.raw, photo_id)]
            yield photo_id, record(photo_id, _photo_path(found.raw, photo_id).read_bytes(), labels)


def find_raw(manual_dir: pathlib.Path) -> pathlib.Path:
    """The CCP folder: `manual_dir` itself or `clothing-co-parsing` in it.

    Raises InputError when neither holds photos.
    """
    for raw in (manual_dir, manual_dir / RAW_NAME):
        if (raw / "photos").is_dir():
            return raw
    raise InputError(
        f"{manual_dir}: no folder photos/ or {RAW_NAME}/photos/ in it; "
        f"--manual_dir must be the folder {RAW_NAME} or its parent"
    )


def scan(raw: pathlib.Path) -> Scan:
    """Reads every photo and label of a CCP folder once, so that nothing broken gets built.

    Raises InputError naming the first file that is missing, broken, or does not fit its partner.
    """
    names = _read_label_list(raw)
    classes = get_hierarchy("fashion_clothing").levels[0].nodes
    class_ids = np.array([classes.index(CLASS_OF.get(n, "background")) for n in names], np.uint8)
    labelled, tags_only = _pair(raw)
    splits = _read_splits(raw, labelled)

    unmapped = collections.Counter()
    dropped = set()
    ids = sorted(set().union(*splits.values()) if splits else labelled)
    for photo_id in tqdm.tqdm(ids, "Checking", unit=" photos", disable=not sys.stderr.isatty()):
        without_class = [n for n in _check_photo(raw, photo_id, names) if n not in CLASS_OF]
        unmapped.update(without_class)
        if without_class:
            dropped.add(photo_id)
    splits = splits or _draw_splits([i for i in ids if i not in dropped])
    splits = {name: [i for i in ids if i not in dropped] for name, ids in splits.items()}
    for name, ids in splits.items():
        if not ids:
            raise InputError(
                f"{raw}: split {name} has no photos ({len(dropped)} left out for labels without a "
                "class); train and val need at least one photo each"
            )
    return Scan(raw, class_ids, splits, len(dropped), dict(unmapped), len(tags_only))


def _photo_path(raw: pathlib.Path, photo_id: str) -> pathlib.Path:
    return raw / "photos" / f"{photo_id}.jpg"


def _label_path(raw: pathlib.Path, photo_id: str) -> pathlib.Path:
    return raw / "annotations" / "pixel-level" / f"{photo_id}.mat"


def _load_mat(path: pathlib.Path, key: str) -> np.ndarray:
    if not path.is_file():
        raise InputError(f"{path}: missing; unpack Clothing Co-Parsing again")
    try:
        return scipy.io.loadmat(path, variable_names=[key])[key]
    except KeyError:
        raise InputError(f"{path}: holds no {key}; is this Clothing Co-Parsing's file?") from None
    except Exception as error:  # scipy answers a broken file with errors of many types
        raise InputError(
            f"{path}: not a readable MATLAB file ({type(error).__name__}: {error}); "
            "unpack Clothing Co-Parsing again"
        ) from error


def _read_label_list(raw: pathlib.Path) -> list[str]:
    return [str(np.ravel(cell)[0]) for cell in _load_mat(raw / "label_list.mat", "label_list").flat]


def _read_labels(raw: pathlib.Path, photo_id: str) -> np.ndarray:
    return _load_mat(_label_path(raw, photo_id), "groundtruth")


def _pair(raw: pathlib.Path) -> tuple[set[str], set[str]]:
    """Ids of the photos with pixel labels, and of those that CCP has only tags for."""
    photos = {path.stem for path in (raw / "photos").glob("*.jpg")}
    labels = {path.stem for path in (raw / "annotations" / "pixel-level").glob("*.mat")}
    tags = {path.stem for path in (raw / "annotations" / "image-level").glob("*.mat")}
    if not photos:
        raise InputError(f"{raw / 'photos'}: no .jpg in it; unpack Clothing Co-Parsing again")
    for photo_id in sorted(photos - labels - tags):
        raise InputError(
            f"{_photo_path(raw, photo_id)}: has no label {_label_path(raw, photo_id)}; "
            "add the label or remove the photo"
        )
    for photo_id in sorted(labels - photos):
        raise InputError(
            f"{_label_path(raw, photo_id)}: has no photo {_photo_path(raw, photo_id)}; "
            "add the photo or remove the label"
        )
    return photos & labels, photos - labels


def _read_splits(raw: pathlib.Path, labelled: set[str]) -> dict[str, list[str]] | None:
    """The lists of splits/*.txt; None when there are none."""
    paths = {name: raw / "splits" / f"{name}.txt" for name in ("train", "val")}
    if not any(path.is_file() for path in paths.values()):
        return None
    splits: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for name, path in paths.items():
        if not path.is_file():
            raise InputError(f"{path}: missing beside the other list; give both lists or none")
        splits[name] = path.read_text().split()
        if not splits[name]:
            raise InputError(f"{path}: lists no photo; put one id a line into it")
        for photo_id in splits[name]:
            if photo_id not in labelled:
                raise InputError(
                    f"{path}: lists {photo_id}, but there is no {_photo_path(raw, photo_id)} with "
                    "pixel labels; remove the line or add the files"
                )
            if photo_id in seen:
                raise InputError(
                    f"{path}: lists {photo_id}, already listed in {seen[photo_id]}.txt; "
                    "list every photo once"
                )
            seen[photo_id] = name
    return splits


def _draw_splits(ids: list[str]) -> dict[str, list[str]]:
    """One tenth for validation, at least one; the draw depends on the sorted ids only."""
    order = np.random.default_rng(0).permutation(len(ids))
    held_out = {ids[i] for i in order[: max(1, round(len(ids) / 10))]}
    return {
        "train": [i for i in ids if i not in held_out],
        "val": [i for i in ids if i in held_out],
    }


def _check_photo(raw: pathlib.Path, photo_id: str, names: list[str]) -> list[str]:
    """The names of the labels in a photo. Raises InputError when photo and label do not fit."""
    photo, label = _photo_path(raw, photo_id), _label_path(raw, photo_id)
    try:
        # Pillow refuses what OpenCV fills with grey: a JPEG cut short.
        with PIL.Image.open(photo, formats=["JPEG"]) as image:
            image.load()
            width, height = image.size
    except (OSError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise InputError(
            f"{photo}: not a whole JPEG ({str(error).splitlines()[0]}); get the photo again"
        ) from error
    labels = _read_labels(raw, photo_id)
    if labels.shape != (height, width):
        raise InputError(
            f"{label}: {' x '.join(map(str, labels.shape))} labels (height x width) for the "
            f"{height} x {width} pixels of {photo}; a label has the size of its photo"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"{label}: labels are {labels.dtype}; they must be integers")
    present = np.unique(labels)
    wrong = present[(present < 0) | (present >= len(names))]
    if wrong.size:
        raise InputError(
            f"{label}: label id {wrong[0]} is not in label_list.mat (0..{len(names) - 1}); "
            "correct the label or the list"
        )
    return [names[i] for i in present]
