"""What a record of a built dataset holds, the same for all of them."""

import io

import cv2
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8


def features() -> tfds.features.FeaturesDict:
    """{"id": text, "image": JPEG bytes, "label": PNG bytes, value = leaf id}."""
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        }
    )


def record(photo_id: str, jpeg: bytes, labels: UInt8[np.ndarray, "h w"]) -> dict:
    """A record for TFDS: the JPEG's bytes as they are, the leaf ids as a PNG."""
    png = cv2.imencode(".png", labels)[1].tobytes()
    # TFDS encodes arrays with TensorFlow; bytes it takes as they are.
    return {"id": photo_id, "image": io.BytesIO(jpeg), "label": io.BytesIO(png)}
