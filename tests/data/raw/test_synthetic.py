"""The dataset of synthetic people holds exactly what `draw` gives."""

import io

import numpy as np
from PIL import Image
from raw_folders import records

from hparse_jax.data.build import build
from hparse_jax.data.raw import synthetic
from hparse_jax.data.synthetic.people import draw


def test_records_hold_the_synthetic_people(tmp_path, monkeypatch):
    photos = {"train": 3, "val": 2}
    monkeypatch.setattr(synthetic, "PHOTOS", photos)
    build("synthetic", tmp_path)
    for seed, (split, count) in enumerate(photos.items()):
        built = records(tmp_path, "synthetic", split)
        assert sorted(built) == [f"{split}_{i:05d}" for i in range(count)]
        for photo_id, (photo, stored) in built.items():
            image, labels = draw(seed, int(photo_id.rpartition("_")[2]))
            np.testing.assert_array_equal(stored, labels)
            jpeg = np.asarray(Image.open(io.BytesIO(photo)).convert("RGB"))
            assert np.abs(jpeg.astype(int) - image).mean() < 6
