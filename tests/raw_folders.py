"""Tiny raw folders for the tests of `build`, and the records of what was built from them."""

import io
import json
import pathlib
import struct
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from hparse_jax.data.dataset import BuiltDataset
from hparse_jax.errors import InputError

SHARED = pathlib.Path(__file__).parents[2] / "shared"
FIXTURES = SHARED / "data" / "fixtures"
needs_fixtures = pytest.mark.skipif(
    not FIXTURES.is_dir(), reason="needs the samples ../shared/data/fixtures beside the checkout"
)

# The classes of the `folder` datasets: ids 0 to 3.
PEOPLE = {
    "name": "people",
    "levels": [
        {"name": "parts", "nodes": {
            "background": "background", "head": "body", "left-arm": "body", "right-arm": "body"}},
        {"name": "whole", "nodes": {"background": None, "body": None}},
    ],
    "flip_pairs": [["left-arm", "right-arm"]],
    "palette": {
        "background": [0, 0, 0], "head": [128, 0, 0], "left-arm": [0, 128, 0],
        "right-arm": [0, 0, 128]},
}  # fmt: skip
SIZE = (6, 5)  # height and width of most photos
GOOD = [f"good{i}" for i in range(6)]
PALETTE = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128)]


def write_people(path: pathlib.Path) -> str:
    """The file of the classes above."""
    path.write_text(json.dumps(PEOPLE))
    return str(path)


def write(path: pathlib.Path, data: bytes | str) -> pathlib.Path:
    """Writes a file and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def jpeg(size: tuple[int, int], seed: int = 0, **options) -> bytes:
    """A photo of noise, size (height, width)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", **options)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def random_labels(size: tuple[int, int], seed: int = 0, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, size, np.uint8)


def png(ids: np.ndarray, depth: int = 8, palette: bool = False) -> bytes:
    """A grey or palette PNG of 1 to 16 bits a pixel, written by the letter of its standard."""
    height, width = ids.shape
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in ids]
    else:
        bits = np.unpackbits(ids.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = [np.packbits(row.ravel()).tobytes() for row in bits]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, 3 if palette else 0, 0, 0, 0)
    colours = b"".join(bytes((200 - i % 200, 7, i)) for i in range(2**depth)) if palette else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"PLTE", colours) if palette else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def write_sample(
    raw: pathlib.Path, name: str, size=SIZE, seed=0, folders=("images", "labels"), classes=4
) -> np.ndarray:
    """RAW/images/NAME.jpg and RAW/labels/NAME.png; returns the labels."""
    labels = random_labels(size, seed, classes)
    write(raw / folders[0] / f"{name}.jpg", jpeg(size, seed))
    write(raw / folders[1] / f"{name}.png", png(labels))
    return labels


def put_label(raw, name, data) -> None:
    """A good photo with this file as its label."""
    write(raw / "images" / f"{name}.jpg", jpeg(SIZE))
    write(raw / "labels" / f"{name}.png", data)


def put_photo(raw, name, data) -> None:
    """A good label with this file as its photo."""
    write(raw / "images" / f"{name}.jpg", data)
    write(raw / "labels" / f"{name}.png", png(random_labels(SIZE)))


def turned_photo(size) -> bytes:
    """Stored with these sides, shown turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(size, exif=exif)


def good_folder(folder: pathlib.Path) -> tuple[pathlib.Path, str]:
    """(RAW with the samples GOOD, the file of its classes)."""
    raw = folder / "raw"
    for i, name in enumerate(GOOD):
        write_sample(raw, name, SIZE, i)
    return raw, write_people(folder / "people.json")


def records(data_dir: pathlib.Path, name: str, split: str) -> dict[str, tuple[bytes, np.ndarray]]:
    """id -> (file of the photo, labels) of a built split; an id that occurs twice is an error."""
    source = BuiltDataset(name, data_dir).records(split)
    found = {}
    for record in (source[i] for i in range(len(source))):
        photo_id = record["id"].decode()
        assert photo_id not in found
        found[photo_id] = (record["image"], np.asarray(Image.open(io.BytesIO(record["label"]))))
    return found


def metadata(data_dir: pathlib.Path, name: str) -> dict:
    return json.loads((data_dir / name / "1.0.0" / "metadata.json").read_text())


def stored(path: pathlib.Path) -> np.ndarray:
    """The values of a grey PNG, the indices of a palette PNG."""
    with Image.open(path) as picture:
        assert picture.mode in ("L", "P")
        return np.asarray(picture)


def assert_holds(built: dict, expected: dict[str, tuple[pathlib.Path, np.ndarray]]) -> None:
    """That records have these ids, files of photos and labels."""
    assert set(built) == set(expected)
    for photo_id, (photo, labels) in expected.items():
        assert built[photo_id][0] == photo.read_bytes()
        np.testing.assert_array_equal(built[photo_id][1], labels)


def structs(entries: list[dict]) -> np.ndarray:
    """A MATLAB struct array 1 x n."""
    array = np.empty((1, len(entries)), [(key, object) for key in entries[0]])
    for i, entry in enumerate(entries):
        for key, value in entry.items():
            array[key][0, i] = value
    return array


def is_built(data_dir: pathlib.Path, name: str) -> bool:
    """Whether training would find such a dataset."""
    try:
        BuiltDataset(name, data_dir).records("train")
    except InputError as error:
        if "no built dataset" not in str(error):
            raise
        return False
    return True


def pascal_part(things: list[tuple[str, np.ndarray, dict[str, np.ndarray]]]) -> bytes:
    """The file of one photo: objects of (class, mask, mask of each part)."""
    objects = []
    for kind, mask, parts in things:
        entries = [{"part_name": name, "mask": own} for name, own in parts.items()]
        empty = np.zeros((0, 0))
        objects.append(
            {"class": kind, "mask": mask, "parts": structs(entries) if entries else empty}
        )
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"anno": {"imname": "a", "objects": structs(objects)}})
    return buffer.getvalue()


def write_pascal_part(raw, photo_id, split, size, things):
    write(raw / "JPEGImages" / f"{photo_id}.jpg", jpeg(size))
    write(raw / "Annotations_Part" / f"{photo_id}.mat", pascal_part(things))
    write(raw / "list" / f"{split}_id.txt", f"{photo_id}\n")


# CFPD's categories and the ids of their classes in Fashion Clothing
CFPD = {
    "bk": 0, "T-shirt": 10, "bag": 2, "belt": 4, "blazer": 13, "blouse": 10, "coat": 3, "dress": 5,
    "face": 11, "hair": 7, "hat": 17, "jeans": 8, "legging": 8, "pants": 8, "scarf": 15, "shoe": 9,
    "shorts": 8, "skin": 11, "skirt": 12, "socks": 16, "stocking": 16, "sunglass": 6, "sweater": 13,
}  # fmt: skip


def write_cfpd(mat: pathlib.Path, photos: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """As MATLAB 7.3 does it: transposed arrays, texts as uint16, cells as references.

    photos: name -> (superpixels from 0, category of each superpixel from 1).
    """
    mat.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(mat, "w") as file:
        hidden = file.create_group("#refs#")

        def text(group, name: str, value: str) -> h5py.Dataset:
            return group.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16))

        def cells(name: str, contents: list) -> None:
            references = np.array([[item.ref] for item in contents], h5py.ref_dtype)
            file.create_dataset(name, data=references, dtype=h5py.ref_dtype)

        cells("all_category_name", [text(hidden, f"n{i}", n) for i, n in enumerate(CFPD)])
        entries = []
        for i, (name, (superpixels, categories)) in enumerate(photos.items()):
            entry = hidden.create_group(f"e{i}")
            text(entry, "img_name", name)
            entry.create_dataset("segmentation", data=superpixels.T.astype(float))
            entry.create_dataset("category_label", data=categories[None].astype(float))
            entries.append(entry)
        cells("fashion_dataset", entries)


def cfpd_photo(seed: int, size=(6, 4)) -> tuple[np.ndarray, np.ndarray]:
    """Superpixels and the categories of all 23."""
    rng = np.random.default_rng(seed)
    superpixels = rng.permutation(24).reshape(size)
    return superpixels, rng.permutation(np.append(np.arange(1, 24), 1))


FASHIONISTA = ("null", "skin", "purse", "tie", "cape")  # a list of its own, unlike CCP's
FASHIONISTA_CLASSES = (0, 11, 2, 13)


def write_fashionista(
    mat: pathlib.Path, photos: list[tuple[bytes, np.ndarray, np.ndarray]]
) -> None:
    """photos: (file, superpixels from 1, label of each superpixel from 1)."""
    names = np.empty((len(FASHIONISTA), 1), object)
    names[:, 0] = FASHIONISTA
    truths = [
        {
            "image": np.frombuffer(photo, np.uint8)[:, None],
            "annotation": structs(
                [
                    {
                        "superpixel_map": np.frombuffer(png(superpixels), np.uint8)[:, None],
                        "superpixel_labels": labels[:, None].astype(float),
                        "labels": names,
                    }
                ]
            ),
        }
        for photo, superpixels, labels in photos
    ]
    mat.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(mat, {"truths": structs(truths)})


def fashionista_photo(seed: int, size=(3, 7)) -> tuple[bytes, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    superpixels = (rng.permutation(21).reshape(size) // 3 + 1).astype(np.uint8)  # 1 to 7
    return jpeg(size, seed), superpixels, rng.permutation([1, 2, 3, 4, 4, 3, 2])
