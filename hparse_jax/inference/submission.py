"""A split of a built dataset -> label PNGs named by id, and a zip of them for a server."""

import os
import pathlib
import zipfile
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from hparse_jax.data.dataset import BuiltDataset, decode
from hparse_jax.errors import InputError
from hparse_jax.inference.predictor import Predictor
from hparse_jax.render import label_png
from hparse_jax.storage import is_safe_name, read_ahead, replacing, write_bytes

_THREADS = min(4, os.cpu_count() or 1)


def write_submission(
    predictor: Predictor,
    dataset: BuiltDataset,
    split: str,
    output: str | os.PathLike,
    indexed: bool = False,
    batch_size: int | None = None,
) -> pathlib.Path:
    """Parses the photos of a split and returns the path of the zip.

    Writes OUT/ID.png for every photo, at its own size, pixel value = leaf id: 8-bit grey, which
    LIP's server takes, or indexed with the hierarchy's palette; then OUT/DATASET_SPLIT.zip with all
    of them. The zip appears when it is complete. Raises InputError when the split is not there,
    and when its classes are not the predictor's.
    """
    output = pathlib.Path(output)
    records = dataset.records(split)
    trained, built = predictor.hierarchy, dataset.hierarchy
    if trained.levels[0].nodes != built.levels[0].nodes:
        raise InputError(
            f"dataset {dataset.name} has the classes of hierarchy {built.name}, this parser "
            f"those of {trained.name}; use a parser that was trained on these classes"
        )
    palette = trained.palette_at(0) if indexed else None

    def read(index):
        photo_id, image, _ = decode(records[index], trained)
        if not is_safe_name(photo_id):
            raise InputError(f"record {photo_id}: its id leads out of the folder; build it again")
        return photo_id, image

    def write(parsed):
        photo_id, result = parsed
        path = output / f"{photo_id}.png"
        write_bytes(path, label_png(result.labels, palette))
        return path

    archive = output / f"{dataset.name}_{split}.zip"
    with (
        replacing(archive) as unfinished,
        ThreadPoolExecutor(_THREADS) as pool,
        zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as members,
        tqdm(total=len(records), desc=split, unit="photo", disable=None) as bar,
    ):
        photos = read_ahead(pool, read, range(len(records)), 2 * _THREADS)
        for path in read_ahead(pool, write, predictor.stream(photos, batch_size), 2 * _THREADS):
            members.write(path, path.relative_to(output).as_posix())
            bar.update()
    return archive
