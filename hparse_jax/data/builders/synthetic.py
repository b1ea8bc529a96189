"""Drawn people as a dataset: nothing to download, the same on every machine.

Training people are `draw(0, i)`, validation people `draw(1, i)`.
"""

import cv2
import tensorflow_datasets as tfds

from hparse_jax.data.builders.record import features, record
from hparse_jax.data.builders.synthetic_people import draw

PHOTOS = {"train": 2000, "val": 200}
_JPEG_QUALITY = 95


class Synthetic(tfds.core.GeneratorBasedBuilder):
    """TFDS builder; `hparse build synthetic` runs it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Procedurally drawn people in the 20 classes of LIP.",
            features=features(),
            metadata=tfds.core.MetadataDict(hierarchy="synthetic"),
        )

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(split, seed, photos)
            for seed, (split, photos) in enumerate(PHOTOS.items())
        }

    def _generate_examples(self, split: str, seed: int, photos: int):
        for index in range(photos):
            image, labels = draw(seed, index)
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
            photo_id = f"{split}_{index:05d}"
            yield photo_id, record(photo_id, jpeg.tobytes(), labels)
